"""The files that preparation writes: pixel shards, the Parquet manifest, the list of rejected pictures, checksums."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from soda.common.errors import InputError
from soda.common.files import file_sha256
from soda.data.columns import BASE_COLUMNS


class ShardFile:
    """One .npy file of uint8 pictures that grows as they are written, so that nothing is held in memory.

    Written as a plain file rather than through a memory map: a full disk is then an OSError and not a killed process.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self.path = path
        self.count = 0
        self._shape = shape
        self._file = path.open("wb")
        self._write_header()
        self._start = self._file.tell()

    def write(self, pictures: np.ndarray) -> None:
        """Append (n, S, S, C) uint8."""
        if pictures.shape[1:] != self._shape or pictures.dtype != np.uint8:
            raise InputError(f"{self.path} takes uint8 (n, {self._shape}), not {pictures.dtype} {pictures.shape}")
        self._file.write(np.ascontiguousarray(pictures).data)
        self.count += len(pictures)

    def close(self) -> None:
        self._file.seek(0)
        self._write_header()
        if self._file.tell() != self._start:  # NumPy leaves room for the first axis to grow; it holds for every version from 1.24
            raise RuntimeError(f"{self.path}: the header for {self.count} pictures is longer than for none")
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.close()

    def _write_header(self) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (self.count, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, header)


class PreparedWriter:
    """Writes shards/, manifest.parquet (one row group a shard) and rejected.csv into a folder; a context manager."""

    def __init__(self, folder: Path, shape: tuple[int, int, int], shard_size: int, extra: Mapping[str, pa.DataType]) -> None:
        clash = sorted(set(extra) & set(BASE_COLUMNS))
        if clash:
            raise InputError(f"a source's own column may not be called {clash[0]!r}: the manifest has one of that name")
        self.folder = folder
        self.shards: list[dict[str, Any]] = []
        self._shape, self._shard_size = shape, shard_size
        self._schema = pa.schema({**BASE_COLUMNS, **extra})
        (folder / "shards").mkdir()
        self._manifest = pq.ParquetWriter(folder / "manifest.parquet", self._schema, compression="zstd")
        self._rejected_file = (folder / "rejected.csv").open("w", encoding="utf-8", newline="")
        self._rejected = csv.writer(self._rejected_file, lineterminator="\n")
        self._rejected.writerow(["file", "reason"])
        self._shard: ShardFile | None = None
        self._rows: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any], pixels: np.ndarray) -> None:
        """Append one picture (S, S, C) uint8 and its manifest row (all columns but shard and row)."""
        if self._shard is None:
            self._shard = ShardFile(self.folder / "shards" / f"{len(self.shards):05d}.npy", self._shape)
        self._rows.append({**row, "shard": len(self.shards), "row": self._shard.count})
        self._shard.write(pixels[None])
        if self._shard.count == self._shard_size:
            self._finish_shard()

    def reject(self, file: str, reason: str) -> None:
        self._rejected.writerow([file, reason])

    def _finish_shard(self) -> None:
        if self._shard is None:
            return
        self._shard.close()
        path, count = self._shard.path, self._shard.count
        self._manifest.write_table(pa.Table.from_pylist(self._rows, schema=self._schema), row_group_size=count)
        self.shards.append({"file": f"shards/{path.name}", "sha256": file_sha256(path), "count": count})
        self._shard, self._rows = None, []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish_shard()
        finally:
            if self._shard is not None:
                self._shard.abandon()
            self._rejected_file.close()
            self._manifest.close()
