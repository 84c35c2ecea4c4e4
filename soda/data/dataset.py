"""Reading prepared pictures: splits of memory-mapped shards, so that memory stays flat however many there are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from soda.common.checks import one_of
from soda.common.errors import SodaError
from soda.data.columns import FACTOR, SPLITS
from soda.geometry.cameras import COLUMNS as CAMERA_COLUMNS


class DatasetError(SodaError, ValueError):
    """Prepared data that is missing or not what its summary says; the message names the file."""


def _indices(values: np.ndarray, names: list[str]) -> np.ndarray:
    """Where each value is in the sorted `names`, -1 where it is not: (n,) int64."""
    known = np.asarray(names, dtype=str)
    if not len(known):
        return np.full(len(values), -1, np.int64)
    found = np.searchsorted(known, values)
    found[found == len(known)] = 0
    return np.where(known[found] == values, found, -1).astype(np.int64)


class Split:
    """The pictures of one split, in manifest order."""

    def __init__(self, data: PreparedData, name: str, rows: np.ndarray, shards: np.ndarray, offsets: np.ndarray) -> None:
        self.name = name
        self._data = data
        self._rows = rows  # (n,) rows of the manifest
        self._shards = shards  # (n,) shard of each picture
        self._offsets = offsets  # (n,) row within it

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, name: str) -> np.ndarray:
        """A manifest column of this split: (n,). Raises DatasetError when there is no such column."""
        values: np.ndarray = self._data.column(name)[self._rows]
        return values

    @cached_property
    def ids(self) -> np.ndarray:
        """Ids: (n,) str."""
        return self.column("id")

    @cached_property
    def files(self) -> np.ndarray:
        """Where each picture came from: (n,) str."""
        return self.column("file")

    @cached_property
    def labels(self) -> np.ndarray:
        """Indices into `PreparedData.label_names`, -1 for a picture without a label: (n,) int64."""
        return _indices(self.column("label"), self._data.label_names)

    @cached_property
    def factors(self) -> dict[str, np.ndarray]:
        """Known factors: name -> indices into `PreparedData.factor_names[name]`, -1 where a picture has no value: (n,) int64."""
        return {name: _indices(self.column(FACTOR + name), names) for name, names in self._data.factor_names.items()}

    @cached_property
    def cameras(self) -> np.ndarray:
        """The camera of each picture: (n, 16) float32 in the order of cameras.COLUMNS. Raises DatasetError without any."""
        return np.stack([self.column(name).astype(np.float32) for name in CAMERA_COLUMNS], axis=1)

    def gather(self, indices: np.ndarray | list[int]) -> np.ndarray:
        """Copy the pictures at `indices` (positions within the split, any order, repeats allowed): (n, S, S, C) uint8."""
        indices = np.asarray(indices, dtype=np.int64)
        size, channels = self._data.image_size, self._data.channels
        out = np.empty((len(indices), size, size, channels), np.uint8)
        shards, offsets = self._shards[indices], self._offsets[indices]
        for shard in np.unique(shards):
            here = np.flatnonzero(shards == shard)
            out[here] = self._data.shard(int(shard))[offsets[here]]
        return out

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """All pictures in order, `size` at a time (the last batch may be smaller): (<=size, S, S, C) uint8."""
        for start in range(0, len(self), size):
            yield self.gather(np.arange(start, min(start + size, len(self))))


class PreparedData:
    """A folder that `prepare` wrote: summary.json, manifest.parquet and shards/.

    Raises DatasetError when the folder or one of its files is missing, or a shard is not what the summary says.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        path = self.folder / "summary.json"
        try:
            self.summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self.version: str = self.summary["manifest_sha256"]
            self.image_size: int = self.summary["image_size"]
            self.channels: int = self.summary["channels"]
            self.label_names: list[str] = self.summary["labels"]
            self.factor_names: dict[str, list[str]] = dict(self.summary.get("factors", {}))  # only where some are known
            self._files: list[dict[str, Any]] = self.summary["shards"]
        except FileNotFoundError:
            raise DatasetError(f"{path}: no such file; prepare the data first") from None
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise DatasetError(f"{path}: not the summary of prepared data ({type(error).__name__}: {error})") from None
        self._mapped: dict[int, np.ndarray] = {}

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.parquet"

    def split(self, name: str) -> Split:
        """The pictures of "train", "val" or "test" (there may be none)."""
        one_of("split", name, SPLITS)
        table = self._read(["split", "shard", "row"])
        rows = np.flatnonzero(pc.equal(table["split"], name).to_numpy(zero_copy_only=False))
        shards = table["shard"].to_numpy().astype(np.int64)[rows]
        offsets = table["row"].to_numpy().astype(np.int64)[rows]
        counts = np.asarray([file["count"] for file in self._files], dtype=np.int64)
        known = (shards >= 0) & (shards < len(counts)) & (offsets >= 0)
        if not known.all() or not (offsets < counts[shards]).all():
            raise DatasetError(f"{self.manifest}: it names pictures that are not in the shards of summary.json")
        return Split(self, name, rows, shards, offsets)

    def column(self, name: str) -> np.ndarray:
        """A whole manifest column in manifest order: (N,), str or a number type."""
        column = self._read([name])[name]
        if pa.types.is_string(column.type) or pa.types.is_dictionary(column.type):
            return np.asarray([value or "" for value in column.to_pylist()], dtype=str)
        values: np.ndarray = column.to_numpy(zero_copy_only=False)
        return values

    def shard(self, index: int) -> np.ndarray:
        """Shard `index`, memory-mapped and read-only: (n, S, S, C) uint8."""
        if index not in self._mapped:
            entry = self._files[index]
            path = self.folder / entry["file"]
            try:
                pictures = np.load(path, mmap_mode="r", allow_pickle=False)
            except FileNotFoundError:
                raise DatasetError(f"{path}: no such file; prepare the data again") from None
            except (ValueError, OSError, EOFError) as error:
                raise DatasetError(f"{path}: cannot be read ({error}); prepare the data again") from None
            wanted = (entry["count"], self.image_size, self.image_size, self.channels)
            if pictures.shape != wanted or pictures.dtype != np.uint8:
                raise DatasetError(f"{path}: holds {pictures.dtype} {pictures.shape}, summary.json says uint8 {wanted}")
            self._mapped[index] = pictures
        return self._mapped[index]

    def _read(self, columns: list[str]) -> pa.Table:
        try:
            with pq.ParquetFile(self.manifest) as file:
                missing = [name for name in columns if name not in file.schema_arrow.names]
                if missing:
                    raise DatasetError(
                        f"{self.manifest}: no column {missing[0]!r}; there are {', '.join(file.schema_arrow.names)}"
                    )
                return file.read(columns=columns)
        except FileNotFoundError:
            raise DatasetError(f"{self.manifest}: no such file; prepare the data first") from None
        except (pa.ArrowException, OSError) as error:
            raise DatasetError(f"{self.manifest}: cannot be read ({error})") from None
