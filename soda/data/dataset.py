"""Reading prepared pictures: splits of memory-mapped shards, so that memory stays flat however many there are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from soda.common.checks import one_of
from soda.data.columns import FACTOR, SPLITS
from soda.data.manifest_columns import Coded, DatasetError, digests, indices, joined, read_pieces, values, words_and_codes
from soda.data.shard_cache import ShardCache
from soda.data.stretches import Stretches
from soda.geometry.cameras import COLUMNS as CAMERA_COLUMNS


class Split:
    """The pictures of one split, in manifest order. Columns are read when they are asked for."""

    def __init__(self, data: PreparedData, name: str, stretches: Stretches) -> None:
        self.name = name
        self.stretches = stretches
        self._data = data

    def __len__(self) -> int:
        return self.stretches.count

    def column(self, name: str) -> np.ndarray:
        """A manifest column of this split: (n,). Raises DatasetError when there is no such column."""
        return joined(self._read(name, values))

    def codes(self, name: str) -> tuple[list[str], np.ndarray]:
        """A column as numbers: its distinct values, sorted, "" for none, and which of them each picture has, (n,) int32."""
        coded = Coded()
        for piece in self._read(name, lambda column: column):
            coded.add(piece)
        return coded.done()

    @property
    def digests(self) -> np.ndarray:
        """SHA-256 of each picture's pixels: (n,) "S32", in the order of the hex digits."""
        return joined(self._read("sha256", digests)).astype("S32", copy=False)

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
        return self._named("label", self._data.label_names)

    @cached_property
    def factors(self) -> dict[str, np.ndarray]:
        """Known factors: name -> indices into `PreparedData.factor_names[name]`, -1 where a picture has no value: (n,) int64."""
        return {name: self._named(FACTOR + name, names) for name, names in self._data.factor_names.items()}

    @cached_property
    def cameras(self) -> np.ndarray:
        """The camera of each picture: (n, 16) float32 in the order of cameras.COLUMNS. Raises DatasetError without any."""
        return np.stack([self.column(name).astype(np.float32) for name in CAMERA_COLUMNS], axis=1)

    def plan_shards(self, at_once: int) -> None:
        """So many of its shards are to be used at once: with as many more, and one on its way, they must have room.

        Raises DatasetError where they come from elsewhere, to a folder that is too small. Where they lie here nothing is asked.
        """
        if (cache := self._data.cache) is not None and len(self):
            shards = np.unique(self.stretches.shards).tolist()
            held, needed = min(at_once, len(shards)), min(2 * at_once + 1, len(shards))
            cache.plan(held, needed, max(map(self._data.shard_bytes, shards)))

    def fetch_ahead(self, stretches: np.ndarray) -> None:
        """Have the shards of these of its stretches brought, in this order, where they come from elsewhere. Returns at once."""
        if self._data.cache is not None:
            self._data.fetch_ahead(list(dict.fromkeys(self.stretches.shards[stretches].tolist())))

    def _named(self, name: str, names: list[str]) -> np.ndarray:
        def of_piece(column: pa.Array) -> np.ndarray:
            words, codes = words_and_codes(column)
            return indices(words, names)[codes]

        return joined(self._read(name, of_piece)).astype(np.int64)

    def _read(self, name: str, change: Callable[[pa.Array], Any]) -> Iterator[Any]:
        """`change` of this split's rows of a column, a piece at a time."""
        for start, batch in read_pieces(self._data.manifest, [name]):
            here = self.stretches.within(start, start + len(batch))
            if len(here):
                yield change(batch.column(0).take(pa.array(here)))

    def gather(self, indices: np.ndarray | list[int]) -> np.ndarray:
        """Copy the pictures at `indices` (positions within the split, any order, repeats allowed): (n, S, S, C) uint8."""
        indices = np.asarray(indices, dtype=np.int64)
        size, channels = self._data.image_size, self._data.channels
        out = np.empty((len(indices), size, size, channels), np.uint8)
        shards, offsets = self.stretches.places(indices)
        for shard in np.unique(shards):
            here = np.flatnonzero(shards == shard)
            out[here] = self._data.shard(int(shard))[offsets[here]]
        return out

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """All pictures in order, `size` at a time (the last batch may be smaller): (<=size, S, S, C) uint8."""
        for start in range(0, len(self), size):
            yield self.gather(np.arange(start, min(start + size, len(self))))


class PreparedData:
    """A folder that `prepare` wrote: summary.json, manifest.parquet and shards/, which a cache may bring from elsewhere.

    Raises DatasetError when the folder or one of its files is missing, or a shard is not what the summary says.
    """

    def __init__(self, folder: str | os.PathLike[str], cache: ShardCache | None = None) -> None:
        self.folder = Path(folder)
        self.cache = cache
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
        found = Stretches.of(self._places(name))
        counts = np.asarray([file["count"] for file in self._files], dtype=np.int64)
        known = (found.shards >= 0) & (found.shards < len(counts)) & (found.offsets >= 0)
        if not known.all() or not (found.offsets + found.lengths <= counts[found.shards]).all():
            raise DatasetError(f"{self.manifest}: it names pictures that are not in the shards of summary.json")
        return Split(self, name, found)

    def _places(self, name: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for start, batch in read_pieces(self.manifest, ["split", "shard", "row"]):
            rows = np.flatnonzero(pc.equal(batch["split"], name).fill_null(False).to_numpy(zero_copy_only=False))
            shards, offsets = (batch[column].to_numpy(zero_copy_only=False).astype(np.int64) for column in ("shard", "row"))
            yield rows + start, shards[rows], offsets[rows]

    def column(self, name: str) -> np.ndarray:
        """A whole manifest column in manifest order: (N,), str or a number type."""
        return joined(values(batch.column(0)) for _, batch in read_pieces(self.manifest, [name]))

    def find(self, ids: Collection[str]) -> dict[str, tuple[str, int, bytes]]:
        """Of pictures with these ids, as far as there are any: id -> (split, position in it, SHA-256 of the pixels)."""
        wanted, found = pa.array(list(ids), pa.string()), {}
        passed = dict.fromkeys(SPLITS, 0)
        for _, batch in read_pieces(self.manifest, ["id", "split", "sha256"]):
            splits = np.asarray(batch["split"].to_pylist())
            here = np.flatnonzero(pc.is_in(batch["id"].cast(pa.string()), value_set=wanted).to_numpy(zero_copy_only=False))
            position = {name: np.cumsum(splits == name) + passed[name] - 1 for name in SPLITS}
            pixels = digests(batch["sha256"].take(pa.array(here))).tolist()
            for row, pixel in zip(here.tolist(), pixels, strict=True):
                split = str(splits[row])
                found[batch["id"][row].as_py()] = split, int(position[split][row]), pixel
            passed = {name: passed[name] + int((splits == name).sum()) for name in SPLITS}
        return found

    def distinct(self, name: str) -> list[str]:
        """The values of a whole manifest column as str, sorted, "" among them where one has none."""
        coded = Coded()
        for _, batch in read_pieces(self.manifest, [name]):
            coded.add(batch.column(0))
        return coded.done()[0]

    def shard(self, index: int) -> np.ndarray:
        """Shard `index`, memory-mapped and read-only: (n, S, S, C) uint8."""
        if index in self._mapped:
            return self._mapped[index]
        entry = self._files[index]
        if self.cache is None:
            self._mapped[index] = pictures = _mapped(path := self.folder / entry["file"])
        else:
            path, pictures = self.cache.path_of(entry), self.cache.get(entry, self.shard_bytes(index))
        wanted = (entry["count"], self.image_size, self.image_size, self.channels)
        if pictures.shape != wanted or pictures.dtype != np.uint8:
            self._mapped.pop(index, None)
            raise DatasetError(f"{path}: holds {pictures.dtype} {pictures.shape}, summary.json says uint8 {wanted}")
        return pictures

    def shard_bytes(self, index: int) -> int:
        """Bytes of a shard's pixels."""
        return int(self._files[index]["count"]) * self.image_size**2 * self.channels

    def fetch_ahead(self, shards: list[int]) -> None:
        """Have these shards brought, in this order, where they come from elsewhere. Returns at once."""
        if self.cache is not None:
            self.cache.fetch_ahead([self._files[each] for each in shards], [self.shard_bytes(each) for each in shards])


def _mapped(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file; prepare the data again") from None
    except (ValueError, OSError, EOFError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); prepare the data again") from None
