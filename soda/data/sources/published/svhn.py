"""SVHN, cropped digits: train_32x32.mat and test_32x32.mat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from soda.data.sources.base import SourceError
from soda.data.sources.published.records import Contents, Record, wanted


def read_svhn(root: Path) -> Contents:
    """73,257 + 26,032 pictures of 32 px in 10 classes (the file calls the nought 10)."""
    paths = {split: wanted(root / f"{split}_32x32.mat") for split in ("train", "test")}

    def records() -> Iterator[Record]:
        for split, path in paths.items():
            values = read_mat(path)
            pictures, labels = values.get("X"), values.get("y")
            if pictures is None or labels is None or pictures.ndim != 4 or pictures.shape[2] != 3 or pictures.dtype != np.uint8:
                raise SourceError(f"{path}: holds no X of uint8 (height, width, 3, pictures) with labels y")
            digits = labels.ravel().astype(int)
            if len(digits) != pictures.shape[3] or not ((digits >= 1) & (digits <= 10)).all():
                raise SourceError(f"{path}: y is not one of 1 to 10 for each of {pictures.shape[3]} pictures")
            for number, digit in enumerate(digits):
                where = f"{path.name}#{number}"
                yield Record(f"{split}-{number:05d}", split, str(digit % 10), pixels=pictures[..., number], file=where)

    return Contents(records())


def read_mat(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a MATLAB file (version 5). Raises SourceError naming it."""
    from scipy.io import loadmat

    try:
        return dict(loadmat(path))
    except Exception as error:  # SciPy raises half a dozen kinds for a damaged file
        raise SourceError(f"{path}: cannot be read as a MATLAB file ({type(error).__name__}: {error})") from None
