"""What the gate looks at: every file of the prepared data, and the manifest joined with a fresh reading of the shards."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from soda.common.bar import Bar
from soda.common.files import file_sha256
from soda.data.columns import BASE_COLUMNS, FACTOR, SPLITS
from soda.data.gate.likeness import MOST
from soda.data.gate.shard_stats import ShardReading, read_shard
from soda.geometry.cameras import COLUMNS as CAMERA_COLUMNS
from soda.geometry.cameras import PREFIX as CAMERA
from soda.geometry.cameras import problem_of

TEXT, WHOLE, NUMBER = "text", "whole number", "number"


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return TEXT
    if pa.types.is_integer(kind):
        return WHOLE
    return NUMBER if pa.types.is_floating(kind) else str(kind)


COLUMNS = {name: _kind(kind) for name, kind in BASE_COLUMNS.items()}
_SUMMARY = {
    "dataset": str,
    "image_size": int,
    "channels": int,
    "count": int,
    "splits": dict,
    "labels": list,
    "manifest_sha256": str,
    "shards": list,
}
_SHARD = {"file": str, "sha256": str, "count": int}


@dataclass
class PreparedReading:
    """The prepared data as it is on disk now."""

    folder: Path
    files: pd.DataFrame  # one row a file: what it should be and what it is
    manifest_sha256: str  # "" when there is no manifest
    summary_sha256: str
    summary: dict[str, Any] | None = None  # None when it cannot be read
    columns: pd.DataFrame | None = None  # one row a manifest column: its kind; None when the manifest cannot be read
    pictures: pd.DataFrame | None = None  # one row a picture; None when a column is missing or of the wrong kind
    rows: int = 0
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)  # what no row is to blame for
    description: dict[str, Any] | None = None  # what is kept of this version when it is accepted
    looked_at: bool = False  # what came since the version that it was pooled from; or all is new
    moved_on: bool = False  # so much came that this version can be the next anchor
    thumbs: np.ndarray | None = None  # (rows, d) uint8, a row a picture; None where they cannot be compared


def read_prepared(folder: Path) -> PreparedReading:
    """Read everything once, shard by shard. What is missing or damaged is recorded, not raised."""
    files: list[dict[str, Any]] = []
    summary = _read_summary(folder, files)
    manifest = _read_manifest(folder, summary, files)
    reading = PreparedReading(folder, pd.DataFrame(), files[1]["found_sha256"] or "", files[0]["found_sha256"] or "", summary)
    shards = _read_shards(folder, summary, files) if summary is not None else []
    if manifest is not None:
        reading.rows = manifest.num_rows
        reading.columns = _columns(manifest)
        if summary is not None and (reading.columns["kind"] == reading.columns["wanted_kind"]).all():
            reading.pictures = _join(manifest.to_pandas(), shards)
            reading.thumbs = _thumbs(reading.pictures, shards)
            counts = reading.pictures["shard"].value_counts()
            for index, file in enumerate(files[2 : 2 + len(shards)]):
                file["manifest_rows"] = int(counts.get(index, 0))
    reading.files = pd.DataFrame(files).astype(object).where(pd.DataFrame(files).notna(), None)
    return reading


def _file(folder: Path, name: str, wanted: str | None, problem: str | None = None) -> dict[str, Any]:
    known = {"file": str(folder / name), "problem": problem, "prepared_sha256": wanted}
    return known | dict.fromkeys(("found_sha256", "prepared_pictures", "found_pictures", "manifest_rows"))


def _read_summary(folder: Path, files: list[dict[str, Any]]) -> dict[str, Any] | None:
    path = folder / "summary.json"
    entry = _file(folder, "summary.json", None)
    files.append(entry)
    try:
        entry["found_sha256"] = file_sha256(path)
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        entry["problem"] = f"cannot be read: {error}"
        return None
    entry["problem"] = _summary_problem(summary)
    return None if entry["problem"] else summary


def _summary_problem(summary: Any) -> str | None:
    if not isinstance(summary, dict):
        return "not the summary of prepared data"
    for key, kind in _SUMMARY.items():
        if not isinstance(summary.get(key), kind):
            return f"not the summary of prepared data: {key!r} is missing or wrong"
    if not all(isinstance(count, int) for count in summary["splits"].values()):
        return f"not the summary of prepared data: 'splits' is {summary['splits']!r}"
    if not all(isinstance(label, str) for label in summary["labels"]):
        return f"not the summary of prepared data: 'labels' is {summary['labels']!r}"
    for shard in summary["shards"]:
        if not isinstance(shard, dict) or not all(isinstance(shard.get(key), kind) for key, kind in _SHARD.items()):
            return f"not the summary of prepared data: {shard!r} is no shard"
    return None


def _read_manifest(folder: Path, summary: dict[str, Any] | None, files: list[dict[str, Any]]) -> pa.Table | None:
    path = folder / "manifest.parquet"
    entry = _file(folder, "manifest.parquet", summary["manifest_sha256"] if summary else None)
    files.append(entry)
    try:
        entry["found_sha256"] = file_sha256(path)
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            return file.read(columns=[name for name in names if name in COLUMNS or name.startswith((FACTOR, CAMERA))])
    except (OSError, ValueError, pa.ArrowException) as error:
        entry["problem"] = f"cannot be read as Parquet: {error}"
        return None


def _read_shards(folder: Path, summary: dict[str, Any], files: list[dict[str, Any]]) -> list[ShardReading]:
    shards = []
    for wanted in Bar(summary["shards"], desc="gate", unit="shard", leave=False):
        found = read_shard(folder / wanted["file"], image_size=summary["image_size"], channels=summary["channels"])
        shards.append(found)
        entry = _file(folder, wanted["file"], wanted["sha256"], found.problem)
        entry |= {"found_sha256": found.file_sha256, "prepared_pictures": wanted["count"], "found_pictures": found.pictures}
        files.append(entry)
    known = {wanted["file"] for wanted in summary["shards"]}
    for path in sorted((folder / "shards").glob("*")):
        if f"shards/{path.name}" not in known:
            files.append(_file(folder, f"shards/{path.name}", None, "summary.json does not list it"))
    return shards


def _columns(manifest: pa.Table) -> pd.DataFrame:
    found = {name: _kind(manifest.schema.field(name).type) for name in manifest.schema.names}
    wanted = COLUMNS | {name: TEXT for name in found if name.startswith(FACTOR)}
    if any(name.startswith(CAMERA) for name in found):
        wanted = wanted | dict.fromkeys(CAMERA_COLUMNS, NUMBER)
    rows = [{"column": name, "wanted_kind": kind, "kind": found.get(name, "absent")} for name, kind in wanted.items()]
    return pd.DataFrame(rows)


def _join(manifest: pd.DataFrame, shards: list[ShardReading]) -> pd.DataFrame:
    """The manifest with what its pictures are now. The new columns are empty where a row points at no readable picture."""
    pictures = manifest.copy()
    for name, kind in COLUMNS.items():
        if kind == TEXT:
            pictures[name] = pictures[name].astype(object).where(pictures[name].notna(), None)
    blank = pictures.isna()
    names = list(COLUMNS)
    pictures["empty_fields"] = [", ".join(compress(names, row)) or None for row in blank[names].to_numpy().tolist()]
    count = len(pictures)
    hashes = np.full(count, None, dtype=object)
    found = {name: np.full(count, np.nan) for name in ("mean", "std", "min", "max", "spread")}
    shard, row = (pictures[name].fillna(-1).to_numpy().astype(np.int64) for name in ("shard", "row"))
    for index, reading in enumerate(shards):
        here = np.flatnonzero((shard == index) & (row >= 0) & (row < len(reading.sha256)))
        hashes[here] = np.asarray(reading.sha256, dtype=object)[row[here]]
        for name, values in found.items():
            values[here] = getattr(reading, name)[row[here]]
    pictures["pixels_sha256"] = hashes
    for name, values in found.items():
        pictures[f"pixels_{name}"] = values
    for name in ("mean", "std"):
        pictures[f"{name}_error"] = (pictures[name] - pictures[f"pixels_{name}"]).abs()
    pictures["pixels_all_std"] = pictures["pixels_std"]
    pictures["pixels_std"] = pictures.pop("pixels_spread")  # of the channel that varies most: a red wall is flat
    pictures["copy_elsewhere"] = _copies(pictures)
    if CAMERA_COLUMNS[0] in pictures:
        cameras = pictures[list(CAMERA_COLUMNS)].to_numpy(dtype=np.float64, na_value=np.nan)
        pictures["camera_problem"] = np.asarray([*problem_of(cameras), None], dtype=object)[:-1]
    return pictures


def _thumbs(pictures: pd.DataFrame, shards: list[ShardReading]) -> np.ndarray | None:
    """The thumbnail of every picture; None where one points at no picture, or they are too many."""
    found = [shard.thumbs for shard in shards if shard.thumbs is not None]
    if pictures.empty or len(pictures) > MOST or len(found) < len(shards) or pictures["pixels_sha256"].isna().any():
        return None
    starts = np.cumsum([0, *(len(thumbs) for thumbs in found)])
    places: np.ndarray = starts[pictures["shard"].to_numpy(dtype=np.int64)] + pictures["row"].to_numpy(dtype=np.int64)
    return np.concatenate(found)[places]


def _copies(pictures: pd.DataFrame) -> np.ndarray:
    """For each picture that occurs in another split too: the file and split of that copy; else None. By content, not by name."""
    content = pictures["pixels_sha256"].where(pictures["pixels_sha256"].notna(), pictures["sha256"])
    several = np.flatnonzero(content.duplicated(keep=False) & content.notna() & pictures["split"].isin(SPLITS))
    contents, splits, files = (column.to_numpy(dtype=object) for column in (content, pictures["split"], pictures["file"]))
    firsts: dict[str, dict[str, str]] = {}
    for row in several:
        firsts.setdefault(contents[row], {}).setdefault(splits[row], f"{files[row]} ({splits[row]})")
    copies = np.full(len(pictures), None, dtype=object)
    for row in several:
        copies[row] = next((name for split, name in firsts[contents[row]].items() if split != splits[row]), None)
    return copies
