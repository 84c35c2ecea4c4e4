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
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from soda.common.bar import Bar
from soda.common.split_folders import called_so, find_split_folders
from soda.config import DatasetConfig
from soda.data.columns import SPLITS
from soda.data.parallel import ordered_map, worker_count
from soda.data.pixels import FilePicture
from soda.data.sources.base import Item, Opened, SourceError, fetched_as, open_fetched, settings_of
from soda.data.sources.labels import folder_labels
from soda.runtime.walk import EXTENSIONS, Passed, most_of, pictures_in

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
    passed = Passed()
    names, ignored = list_pictures(root, passed)
    if not names:
        raise SourceError(f"dataset.path: {root}: there is no picture in it ({', '.join(sorted(EXTENSIONS))}){passed}")
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
    elif config.splits == "auto" and (called := called_so(names)):
        logger.warning(
            "called as splits, but not taken for them: %s; there are no two such folders side by side, or many others beside, or "
            "nothing else to train on. Their pictures are split as all others are",
            ", ".join(map(repr, called[:5])),
        )
    if passed.programs:
        logger.info("passed over, as hidden or of other programs: %s", most_of(passed.programs))
    return {"files": len(names), "bytes": size, "unreadable": broken, "ignored": ignored, "labels": len(set(labels.values()))}


def opened(config: DatasetConfig, raw: Path) -> Opened:
    """Every file of the inventory, by path. Raises SourceError when there is none, or one made with other settings."""
    root = Path(config.path)
    table, _ = open_fetched(raw / INVENTORY, settings_of(config, *_SETTINGS))

    def items() -> Iterator[Item]:
        for batch in table.iter_batches(_BATCH):
            for row in batch.to_pylist():
                path = row["path"]
                load = FilePicture(root / path, path, row["sha256"], row["problem"])
                yield Item(id=path, file=path, load=load, label=row["label"], split=row["split"] or None)

    return Opened((), int(table.metadata.num_rows), items)


def list_pictures(root: Path, passed: Passed | None = None) -> tuple[list[str], int]:
    """Pictures (by extension) under `root` as sorted "/"-separated relative paths, and how much else there is.

    As `soda embed` sees them (`soda.runtime.walk`). passed: takes down what the rest is. Raises SourceError for a folder that may
    not be listed.
    """
    passed = Passed() if passed is None else passed
    names = list(pictures_in(root, passed=passed, onerror=_stop, pipes=True))
    return names, passed.count


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
