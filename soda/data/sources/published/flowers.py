"""Oxford Flowers 102: jpg/, imagelabels.mat and setid.mat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from soda.data.sources.base import TRAIN, SourceError
from soda.data.sources.published.records import Contents, Record, inner, wanted
from soda.data.sources.published.svhn import read_mat

_SPLITS = {"trnid": TRAIN, "valid": "val", "tstid": "test"}


def read_flowers102(root: Path) -> Contents:
    """1,020 + 1,020 + 6,149 photographs in 102 classes, called by their numbers as the files do, "001" to "102"."""
    folder = inner(root, "flowers-102")
    wanted(folder / "jpg")
    labels = _numbers(folder / "imagelabels.mat", "labels")
    splits = {split: _numbers(folder / "setid.mat", key) for key, split in _SPLITS.items()}
    outside = [number for numbers in splits.values() for number in numbers if not 1 <= number <= len(labels)]
    if outside:
        raise SourceError(
            f"{folder / 'setid.mat'}: picture {outside[0]} has no label in imagelabels.mat ({len(labels)} pictures)"
        )

    def records() -> Iterator[Record]:
        for split, numbers in splits.items():
            for number in sorted(numbers):
                path = (folder / "jpg" / f"image_{number:05d}.jpg").relative_to(root).as_posix()
                yield Record(f"image_{number:05d}", split, f"{labels[number - 1]:03d}", path)

    return Contents(records())


def _numbers(path: Path, key: str) -> list[int]:
    values = read_mat(wanted(path)).get(key)
    if values is None or not np.issubdtype(values.dtype, np.number):
        raise SourceError(f"{path}: holds no numbers called {key}")
    return [int(value) for value in values.ravel()]
