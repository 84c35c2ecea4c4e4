"""What sources of packed pictures share: an inventory of where each lies in which file, and splits by the names of the files.

The files stay where they are, and are read as streams: memory holds one part of one file, however many pictures there are.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from soda.common.bar import Bar
from soda.common.split_folders import kind_of, kinds_among, words_of
from soda.config import DatasetConfig
from soda.data.pixels import ChangedError
from soda.data.sources.base import Item, Opened, SourceError, fetched_as, open_fetched, settings_of
from soda.runtime.preprocess import open_picture
from soda.runtime.walk import Passed, pictures_in

INVENTORY = "inventory.parquet"
SETTINGS = ("name", "path", "labels", "splits", "csv_label_column")  # what the inventory was made with
BATCH = 10_000
LARGEST = 256 << 20
"""Bytes of one picture in a packed file; more is not read."""
_SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "file": pa.string(),  # relative to dataset.path
        "part": pa.int64(),  # where in the file: bytes from its start, or a row group
        "place": pa.int64(),  # and there: bytes, or a row
        "sha256": pa.string(),  # of the picture's own bytes
        "label": pa.string(),
        "split": pa.string(),
    }
)

_log = logging.getLogger(__name__)


def packed_files(config: DatasetConfig, suffix: str) -> list[Path]:
    """The files of `dataset.path`, sorted: those with the suffix in a folder, at any depth, or the file itself.

    Raises SourceError where there are none.
    """
    root = Path(config.path)
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise SourceError(f"dataset.path: {root}: no such file or folder")
    passed = Passed()
    found = [root / name for name in pictures_in(root, endings=frozenset({suffix}), passed=passed, onerror=_stop)]
    if not found:
        raise SourceError(f"dataset.path: {root}: there is no *{suffix} in it{passed}")
    return found


def _stop(error: OSError) -> None:
    raise SourceError(f"dataset.path: {error.filename}: the folder cannot be listed ({error.strerror})")


def relative_name(config: DatasetConfig, file: Path) -> str:
    """A file as the inventory and messages call it."""
    root = Path(config.path)
    return file.name if root.is_file() else file.relative_to(root).as_posix()


def split_of_file(name: str) -> str:
    """The split that a file's name or folder means (cifar10-train-00000.parquet, val/0001.tar), "" where none is meant."""
    *folders, last = name.split("/")
    named = kinds_among(words_of(last))
    kinds = [named.pop() if len(named) == 1 else "", *(kind_of(folder) for folder in reversed(folders))]
    return next((kind for kind in kinds if kind), "")


class Inventory:
    """Writes the rows of a fetch; a context manager. Rows of one id are refused: splits are drawn from ids."""

    def __init__(self, config: DatasetConfig, raw: Path, *, named: bool) -> None:
        """named: files and folders called as splits are the splits."""
        self._schema = _SCHEMA.with_metadata(fetched_as(settings_of(config, *SETTINGS)))
        self._writer = pq.ParquetWriter(raw / INVENTORY, self._schema, compression="zstd")
        self._named = named
        self._rows: list[dict[str, Any]] = []
        self.labels, self.splits = set[str](), Counter[str]()
        self.count = 0

    def add(self, *, id: str, file: str, part: int, place: int, content: bytes, label: str) -> None:
        split = split_of_file(file) if self._named else ""
        row = {"id": id, "file": file, "part": part, "place": place, "sha256": hashlib.sha256(content).hexdigest()}
        self._rows.append({**row, "label": label, "split": split})
        self.labels.add(label)
        self.splits[split] += 1
        self.count += 1
        if len(self._rows) == BATCH:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def __enter__(self) -> Inventory:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def counts(self) -> dict[str, Any]:
        """What a fetch reports."""
        named = {f"named {kind}": count for kind, count in sorted(self.splits.items()) if kind}
        return {"pictures": self.count, "labels": len(self.labels - {""}), **named}


Read = Callable[[Path, int, int], bytes]
"""(file, part, place) -> a picture's own bytes; must be picklable. Raises OSError, IndexError or one of pyarrow's where the file
is no longer what it was."""


@dataclass(frozen=True, slots=True)
class PackedPicture:
    """One picture in a packed file, as `read` has it."""

    path: Path
    part: int
    place: int
    name: str  # for messages
    sha256: str
    read: Read

    def __call__(self, settings: DatasetConfig) -> Image.Image:
        """Raises ChangedError where the file is not what was fetched, PictureError for what is no picture."""
        try:
            content = self.read(self.path, self.part, self.place)
        except (OSError, pa.ArrowException, IndexError) as error:
            raise ChangedError(f"{self.path}: it could be read when the data was fetched, now: {error}; fetch again") from None
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ChangedError(f"{self.path}: the bytes of {self.name} changed since the data was fetched; fetch again")
        return open_picture(io.BytesIO(content), name=self.name, max_pixels=settings.max_pixels, min_side=settings.min_side)


def fetch_packed(
    config: DatasetConfig, raw: Path, suffix: str, add: Callable[[Path, str, Inventory], None], *, empty: str
) -> dict[str, Any]:
    """Write the inventory of all files with that suffix; `add` adds the pictures of one, which is called by its relative name.

    empty: what is said where there is no picture. Raises SourceError.
    """
    files = packed_files(config, suffix)
    kinds = {split_of_file(relative_name(config, file)) for file in files}
    named = config.splits == "auto" and bool(kinds & {"train", ""})
    if config.splits == "auto" and not named:
        _log.warning(
            "all files are called %s, so none would be left to train on: the splits are drawn", " or ".join(sorted(kinds))
        )
    with Inventory(config, raw, named=named) as inventory, Bar(total=len(files), desc="fetch", unit="file", leave=False) as bar:
        for file in files:
            add(file, relative_name(config, file), inventory)
            bar.update()
    if not inventory.count:
        raise SourceError(f"dataset.path: {config.path}: {empty}")
    return inventory.counts()


def open_packed(config: DatasetConfig, raw: Path, reader_of: Callable[[Path], Read]) -> Opened:
    """Every picture of the inventory, file by file, read as `reader_of` says of its file.

    Raises SourceError when there is no inventory, or one made with other settings.
    """
    root = Path(config.path)
    table, _ = open_fetched(raw / INVENTORY, settings_of(config, *SETTINGS))

    def items() -> Iterator[Item]:
        of_file = lru_cache(maxsize=None)(reader_of)
        for batch in table.iter_batches(BATCH):
            for row in batch.to_pylist():
                path = root if root.is_file() else root / row["file"]
                load = PackedPicture(path, row["part"], row["place"], row["id"], row["sha256"], of_file(path))
                yield Item(id=row["id"], file=row["id"], load=load, label=row["label"], split=row["split"] or None)

    return Opened((), int(table.metadata.num_rows), items)
