"""3D Shapes: 3dshapes.h5, an HDF5 file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from soda.data.sources.base import SourceError
from soda.data.sources.published.records import Contents, Record, wanted

FILE = "3dshapes.h5"
FACTORS = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
_SHAPES = ("cube", "cylinder", "sphere", "capsule")
_ROWS = 1000


def read_shapes3d(root: Path) -> Contents:
    """480,000 rooms of 64 px with one object. No official split."""
    path = wanted(root / FILE)
    try:
        import h5py
    except ImportError:
        raise SourceError(f"{path}: reading HDF5 takes h5py: pip install '.[hdf5]'") from None

    def records() -> Iterator[Record]:
        try:
            with h5py.File(path, "r") as file:
                images, labels = file["images"], file["labels"]
                if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or labels.shape != (len(images), 6):
                    raise SourceError(f"{path}: its images are {images.dtype} {images.shape}, with labels of {labels.shape}")
                for start in range(0, len(images), _ROWS):
                    block, numbers = images[start : start + _ROWS], labels[start : start + _ROWS]
                    for k, (image, row) in enumerate(zip(block, numbers.tolist(), strict=True)):
                        yield _record(path, start + k, image, row)
        except (OSError, KeyError, RuntimeError) as error:
            raise SourceError(f"{path}: cannot be read as the HDF5 file of 3D Shapes ({error})") from None

    return Contents(records(), FACTORS)


def _record(path: Path, number: int, image: np.ndarray, row: list[float]) -> Record:
    if row[4] not in range(len(_SHAPES)):
        raise SourceError(f"{path}: image {number} is of shape {row[4]:g}; there are {len(_SHAPES)}")
    values = [f"{value:.3g}" for value in row]
    values[4] = _SHAPES[int(row[4])]
    factors = dict(zip(FACTORS, values, strict=True))
    return Record(f"room-{number:06d}", "", factors["shape"], "", image, f"{FILE}#{number}", factors)
