"""A published set as a source: `fetch` lists its pictures in raw/pictures.parquet, and unpacks those that share a file.

`dataset.path` is the folder that torchvision is given as `root`. It stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from soda.config import DatasetConfig
from soda.data.parallel import worker_count
from soda.data.pixels import FilePicture, Loader, PixelsInFile
from soda.data.sources.base import Item, Opened, SourceError, fetched_as, open_fetched, require_label, settings_of
from soda.data.sources.folder import hashed
from soda.data.sources.published.records import MissingError, Reader, Record
from soda.geometry.cameras import COLUMNS as CAMERA_COLUMNS

TABLE, PIXELS = "pictures.parquet", "pixels.bin"
_TEXT = ("id", "split", "label", "path", "file", "sha256", "problem")
_NUMBERS = ("offset", "height", "width", "depth")  # of pictures in PIXELS; height is 0 for those in files, depth 1 or 3
_BATCH = 5000


@dataclass(frozen=True)
class Published:
    """One set. `torchvision` is the call that downloads it, where torchvision does."""

    url: str
    LICENCE: str
    read: Reader
    torchvision: str = ""
    COLUMNS: Mapping[str, pa.DataType] = field(default_factory=dict)  # those of a camera, where every picture has one

    def origin(self, config: DatasetConfig) -> str:
        return self.url

    def fetch(self, config: DatasetConfig, raw: Path, earlier: Path) -> dict[str, Any]:
        """List the pictures, with the SHA-256 of every file. Raises SourceError naming the file that is missing or damaged."""
        root = Path(config.path)
        if not root.is_dir():
            raise SourceError(f"dataset.path: {root}: no such folder{self._remedy(root)}")
        try:
            contents = self.read(root)
        except MissingError as error:
            raise SourceError(f"{error}{self._remedy(root)}") from None
        schema = pa.schema(
            [(name, pa.string()) for name in _TEXT]
            + [(name, pa.int64()) for name in _NUMBERS]
            + [("factors", pa.list_(pa.string()))]
            + ([("camera", pa.list_(pa.float64()))] if self.COLUMNS else [])
        ).with_metadata(fetched_as(settings_of(config, "name", "path"), contents.factors))
        total = broken = 0
        with (
            pq.ParquetWriter(raw / TABLE, schema, compression="zstd") as writer,
            (raw / PIXELS).open("wb") as pixels,
            ThreadPoolExecutor(worker_count(config.workers)) as pool,
            tqdm(desc="fetch", unit="picture", leave=False) as bar,
        ):
            while records := list(islice(contents.records, _BATCH)):
                rows = [_row(record, pixels, contents.factors) for record in records]
                files = [row for row in rows if row["path"]]
                for row, (found, _) in zip(files, hashed(pool, root, [row["path"] for row in files]), strict=True):
                    row["sha256"], row["problem"] = found["sha256"], found["problem"]
                    broken += bool(found["problem"])
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                total += len(rows)
                bar.update(len(rows))
        if not total:
            raise SourceError(f"dataset.path: {root}: there is no picture of {config.name} in it")
        return {"pictures": total, "unreadable": broken, "factors": len(contents.factors)}

    def opened(self, config: DatasetConfig, raw: Path) -> Opened:
        """Every picture, in its official split if any. Raises SourceError without a table, or with one of another set."""
        root = Path(config.path)
        table, names = open_fetched(raw / TABLE, settings_of(config, "name", "path"))
        require_label(config, names, others=("official", "auto", "none"))

        def items() -> Iterator[Item]:
            for batch in table.iter_batches(_BATCH):
                for row in batch.to_pylist():
                    factors = dict(zip(names, row["factors"], strict=True))
                    label = "" if config.labels == "none" else factors.get(config.labels, row["label"])
                    extra = dict(zip(CAMERA_COLUMNS, row["camera"], strict=True)) if self.COLUMNS else {}
                    yield Item(row["id"], row["file"], _loader(root, raw, row), label, row["split"] or None, extra, factors)

        return Opened(names, int(table.metadata.num_rows), items)

    def _remedy(self, root: Path) -> str:
        if not self.torchvision:
            return f"; unpack the archive of {self.url} there"
        call = self.torchvision.format(root=str(root))
        return f'; torchvision downloads it: .venv/bin/python -c "from torchvision.datasets import *; {call}"'


def _row(record: Record, pixels: BinaryIO, factors: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_TEXT, "") | dict.fromkeys(_NUMBERS, 0)
    row |= {"id": record.id, "split": record.split, "label": record.label, "path": record.path}
    if record.camera is not None:
        row["camera"] = record.camera.numbers
    row |= {"file": record.file or record.path, "factors": [record.factors.get(name, "") for name in factors]}
    if record.pixels is not None:
        height, width, *colours = record.pixels.shape
        row |= {"offset": pixels.tell(), "height": height, "width": width, "depth": colours[0] if colours else 1}
        pixels.write(np.ascontiguousarray(record.pixels).data)
    return row


def _loader(root: Path, raw: Path, row: Mapping[str, Any]) -> Loader:
    if row["height"]:
        shape = (row["height"], row["width"], 3) if row["depth"] == 3 else (row["height"], row["width"])
        return PixelsInFile(raw / PIXELS, row["offset"], shape)
    return FilePicture(root / row["path"], row["path"], row["sha256"], row["problem"])
