"""MPI3D: mpi3d_toy.npz, mpi3d_realistic.npz, mpi3d_real.npz, or the set of complex shapes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from soda.data.sources.base import SourceError
from soda.data.sources.published.npz import npz_blocks, npz_shape
from soda.data.sources.published.records import Contents, MissingError, Record, wanted

_PLAIN = {
    "object_colour": ("white", "green", "red", "blue", "brown", "olive"),
    "object_shape": ("cone", "cube", "cylinder", "hexagonal", "pyramid", "sphere"),
    "object_size": ("small", "large"),
    "camera_height": ("top", "center", "bottom"),
    "background_colour": ("purple", "sea green", "salmon"),
}
_COMPLEX = _PLAIN | {
    "object_colour": ("yellow", "green", "olive", "red"),
    "object_shape": ("coffee-cup", "tennis-ball", "croissant", "beer-cup"),
}
AXES = {"horizontal_axis": 40, "vertical_axis": 40}
_ROWS = 500


def read_mpi3d(root: Path) -> Contents:
    """1,036,800 images of 64 px (460,800 of complex shapes) in the order of their factors. No official split.

    The folder is to hold one of the files alone: they are sets of their own.
    """
    found = sorted(wanted(root).glob("*.npz"))
    if len(found) != 1:
        said = ", ".join(path.name for path in found) or "none"
        raise MissingError(f"dataset.path: {root}: one .npz file of MPI3D is to be there alone; there is {said}")
    path = found[0]
    shape = npz_shape(path, "images")
    names = next((each for each in (_PLAIN, _COMPLEX) if shape[0] == _cells(each)), None)
    if names is None or len(shape) != 4 or shape[3] != 3:
        raise SourceError(f"{path}: its images are {shape}; MPI3D has {_cells(_PLAIN):,} or {_cells(_COMPLEX):,} in colour")
    values = [*names.values(), *([f"{k:02d}" for k in range(count)] for count in AXES.values())]
    factors = (*names, *AXES)

    def records() -> Iterator[Record]:
        number = 0
        for block in npz_blocks(path, "images", _ROWS):
            for image in block:
                place = np.unravel_index(number, [len(each) for each in values])
                known = {name: each[int(k)] for name, each, k in zip(factors, values, place, strict=True)}
                where = f"{path.name}#{number}"
                yield Record(f"{path.stem}-{number:07d}", "", known["object_shape"], "", image, where, known)
                number += 1

    return Contents(records(), factors)


def _cells(names: dict[str, tuple[str, ...]]) -> int:
    return math.prod(len(each) for each in names.values()) * math.prod(AXES.values())
