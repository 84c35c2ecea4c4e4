"""A person's own folder of pictures, in any formats, sizes and modes.

The pictures stay where they are. `fetch` writes an inventory of them (path, size, SHA-256, label, split) to
raw/inventory.parquet; preparation reads them through it and stops at a file that is no longer what was fetched.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from soda.common.bar import Bar
from soda.common.files import walk_once
from soda.config import DatasetConfig
from soda.data.columns import SPLITS
from soda.data.parallel import ordered_map, worker_count
from soda.data.pixels import FilePicture
from soda.data.sources.base import Item, SourceError, fetched_as, open_fetched, settings_of
from soda.data.sources.labels import folder_labels
from soda.data.sources.split_folders import find_split_folders
from soda.runtime.walk import EXTENSIONS

logger = logging.getLogger(__name__)

COLUMNS: Mapping[str, pa.DataType] = {}
LICENCE = "the owner's"
INVENTORY = "inventory.parquet"
_SCHEMA = pa.schema(
    {
        "path": pa.string(),
        "size": pa.int64(),
        "sha256": pa.string(),
        "label": pa.string(),
        "split": pa.string(),
        "problem": pa.string(),
    }
)
_BATCH = 10_000
_SETTINGS = ("path", "labels", "splits", "csv_file_column", "csv_label_column")  # what the inventory was made with


def origin(config: DatasetConfig) -> str:
    return f"folder {Path(config.path).name}"


def fetch(config: DatasetConfig, raw: Path, earlier: Path) -> dict[str, Any]:
    """Write the inventory. Files that are no pictures by their names, and hidden ones, are counted and passed over.

    Raises SourceError for a folder that is missing or holds no picture, and for labels that cannot be resolved.
    """
    root = Path(config.path)
    if not root.is_dir():
        what = "a file, not a folder" if root.exists() else "no such folder"
        raise SourceError(f"dataset.path: {root}: {what}")
    names, ignored = list_pictures(root)
    if not names:
        others = f"; {ignored} other files are in it" if ignored else ""
        raise SourceError(f"dataset.path: {root}: there is no picture in it ({', '.join(sorted(EXTENSIONS))}){others}")
    labels = folder_labels(config, root, names)
    splits = find_split_folders(names) if config.splits == "auto" else None
    said = Counter(splits.split(name) for name in names) if splits else Counter()
    size = broken = 0
    schema = _SCHEMA.with_metadata(fetched_as(settings_of(config, *_SETTINGS)))
    with (
        ThreadPoolExecutor(worker_count(config.workers)) as pool,
        pq.ParquetWriter(raw / INVENTORY, schema) as writer,
        Bar(total=len(names), desc="fetch", unit="file", leave=False) as bar,
    ):
        rows: list[dict[str, Any]] = []
        for name, (row, count) in zip(names, hashed(pool, root, names), strict=True):
            split = splits.split(name) if splits else ""
            rows.append({"path": _printable(name), **row, "label": _printable(labels.get(name, "")), "split": split})
            size += count
            broken += bool(row["problem"])
            bar.update()
            if len(rows) == _BATCH:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    if splits:
        found = ", ".join(f"{said[kind]} {kind}" for kind in SPLITS if said[kind])
        beside = f"; {said['']} beside them are taken for train" if said[""] else ""
        logger.info(
            "the folders called as splits are the splits (%s%s); to draw them anew: dataset.splits=content", found, beside
        )
    return {"files": len(names), "bytes": size, "unreadable": broken, "ignored": ignored, "labels": len(set(labels.values()))}


def factor_names(config: DatasetConfig, raw: Path) -> Sequence[str]:
    return ()


def count(config: DatasetConfig, raw: Path) -> int:
    with open_fetched(raw / INVENTORY, settings_of(config, *_SETTINGS))[0] as file:
        return int(file.metadata.num_rows)


def items(config: DatasetConfig, raw: Path) -> Iterator[Item]:
    """Every file of the inventory, by path. Raises SourceError when there is none, or one made with other settings."""
    root = Path(config.path)
    with open_fetched(raw / INVENTORY, settings_of(config, *_SETTINGS))[0] as file:
        for batch in file.iter_batches(_BATCH):
            for row in batch.to_pylist():
                path = row["path"]
                load = FilePicture(root / path, path, row["sha256"], row["problem"])
                yield Item(id=path, file=path, load=load, label=row["label"], split=row["split"] or None)


def list_pictures(root: Path) -> tuple[list[str], int]:
    """Pictures (by extension) under `root` as sorted "/"-separated relative paths, and how many other files there are.

    Linked folders are entered, each real folder once. Raises SourceError for a folder that may not be listed.
    """
    pictures: list[str] = []
    ignored = 0
    for folder, subfolders, files in walk_once(root, onerror=_stop):
        subfolders.sort()
        relative = Path(folder).relative_to(root)
        for name in files:
            parts = (*relative.parts, name)
            hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
            if hidden or os.path.splitext(name)[1].lower() not in EXTENSIONS:
                ignored += 1
            else:
                pictures.append("/".join(parts))
    return sorted(pictures), ignored


def _stop(error: OSError) -> None:
    raise SourceError(f"dataset.path: {error.filename}: the folder cannot be listed ({error.strerror})")


def hashed(pool: ThreadPoolExecutor, root: Path, names: Iterable[str]) -> Iterator[tuple[dict[str, Any], int]]:
    """For each file: its `size`, `sha256` and `problem` ("" when it could be read), and the size again. In order."""
    jobs = ((None, (root / name, _printable(name) == name)) for name in names)
    for _, (size, digest, problem) in ordered_map(pool, _hash, jobs, in_flight=1000):
        yield {"size": size, "sha256": digest, "problem": problem}, size


def _hash(path: Path, printable: bool) -> tuple[int, str, str]:
    if not printable:
        return 0, "", "its name is not valid UTF-8; rename it"
    digest, size = hashlib.sha256(), 0
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return 0, "", "it is no file but a pipe, a socket or a device"
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                size += len(block)
    except OSError as error:
        return 0, "", (error.strerror or str(error)).lower()
    return size, digest.hexdigest(), "" if size else "the file is empty"


def _printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")
