"""Preparation of pictures whose splits are drawn by content: all are decoded once, compared, and then written split by split.

What was decoded waits on the disk, beside the result, so that memory holds a thumbnail's worth of each picture at most.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from soda.config import DatasetConfig
from soda.data.columns import SPLITS
from soda.data.manifest import PreparedWriter
from soda.data.manifest_columns import Coded, digests, read_pieces
from soda.data.near_copies import near_groups, thumbnails
from soda.data.splitting import split_by_content

_OFFICIAL = "official"  # the column of what a folder says, which the result has no more


class Waiting:
    """Decoded pictures that wait for their splits in `folder`, which is removed at the end; a context manager."""

    def __init__(self, folder: Path, shape: tuple[int, int, int], shard_size: int, columns: Mapping[str, pa.DataType]) -> None:
        folder.mkdir()
        self._folder = folder
        self._writer = PreparedWriter(folder, shape, shard_size, {**columns, _OFFICIAL: pa.string()})
        self._thumbs = (folder / "thumbnails").open("wb")
        self._count = 0

    def add(self, row: dict[str, Any], official: str | None, pixels: np.ndarray) -> None:
        """Keep a picture (S, S, C) uint8 and its row of the manifest, which has no split yet."""
        self._writer.add({**row, _OFFICIAL: official or ""}, pixels)
        self._thumbs.write(thumbnails(pixels[None]).tobytes())
        self._count += 1

    def drawn(self, config: DatasetConfig) -> Iterator[tuple[dict[str, Any], str, np.ndarray]]:
        """The rows with their splits, what a folder said, and the pixels: test first, then val, then train, each in order.

        Nothing can be added any more.
        """
        self._writer.__exit__(None, None, None)
        self._thumbs.close()
        if not self._count:
            return
        splits = self._splits(config)
        with pq.ParquetFile(self._folder / "manifest.parquet") as manifest:
            for split in reversed(SPLITS):
                yield from self._of_split(manifest, split, splits)

    def _splits(self, config: DatasetConfig) -> np.ndarray:
        """(N,) str. Nothing of what it takes to find them is held afterwards."""
        path, contents = self._folder / "manifest.parquet", np.empty(self._count, "S32")
        labels, official = Coded(), Coded()
        for start, batch in read_pieces(path, ["sha256", "label", _OFFICIAL]):
            contents[start : start + len(batch)] = digests(batch["sha256"])
            labels.add(batch["label"])
            official.add(batch[_OFFICIAL])
        thumbs = np.memmap(self._folder / "thumbnails", np.uint8, "r").reshape(self._count, -1)
        groups = near_groups(thumbs, contents)
        names, said = official.done()
        return split_by_content(config, contents, groups, np.asarray(names, "U5")[said], labels.done()[1])

    def _of_split(
        self, manifest: pq.ParquetFile, split: str, splits: np.ndarray
    ) -> Iterator[tuple[dict[str, Any], str, np.ndarray]]:
        start = 0
        for group, shard in enumerate(self._writer.shards):
            here = np.flatnonzero(splits[start : start + shard["count"]] == split)
            start += shard["count"]
            if not len(here):
                continue
            pictures = np.load(self._folder / shard["file"], mmap_mode="r", allow_pickle=False)
            for place, row in zip(here, manifest.read_row_group(group).take(here).to_pylist(), strict=True):
                official = row.pop(_OFFICIAL)
                yield {**row, "split": split}, official, pictures[place]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._thumbs.closed:
            self._thumbs.close()
            self._writer.__exit__(kind or GeneratorExit, error, trace)
        shutil.rmtree(self._folder, ignore_errors=True)
