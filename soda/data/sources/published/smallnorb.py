"""SmallNORB (LeCun et al. 2004): -dat, -cat and -info files in a binary format of their own, called .mat and not MATLAB's."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from soda.data.sources.base import SourceError
from soda.data.sources.published.records import Contents, MissingError, Record

PARTS = {"train": "smallnorb-5x46789x9x18x6x2x96x96-training", "test": "smallnorb-5x01235x9x18x6x2x96x96-testing"}
FACTORS = ("category", "instance", "elevation", "azimuth", "lighting")
_CATEGORIES = ("animal", "human", "plane", "truck", "car")
_MOST_BYTES = 2_000_000_000  # of one file unpacked (the largest has 448 million)
_TYPES: dict[int, np.dtype] = {0x1E3D4C55: np.dtype("u1"), 0x1E3D4C54: np.dtype("<i4")}


def read_smallnorb(root: Path) -> Contents:
    """24,300 + 24,300 toys of 96 px, grey, the left of each stereo pair. The test split holds other toys (`instance`)."""
    paths = {split: [_find(root, f"{name}-{kind}.mat") for kind in ("dat", "cat", "info")] for split, name in PARTS.items()}

    def records() -> Iterator[Record]:
        for split, (dat, cat, info) in paths.items():
            images, categories, facts = (read_norb(path) for path in (dat, cat, info))
            right = images.dtype == np.uint8 and images.ndim == 4 and images.shape[1] == 2 and facts.shape == (len(images), 4)
            if not right or categories.shape != (len(images),) or not np.isin(categories, range(len(_CATEGORIES))).all():
                raise SourceError(
                    f"{dat}: {images.shape} images, with categories of {categories.shape} and facts of {facts.shape}"
                )
            for number, (pair, category, row) in enumerate(zip(images, categories.tolist(), facts.tolist(), strict=True)):
                values = (_CATEGORIES[category], str(row[0]), str(row[1]), f"{row[2] // 2:02d}", str(row[3]))
                factors = dict(zip(FACTORS, values, strict=True))
                name = f"{split}-{number:05d}"
                yield Record(name, split, factors["category"], "", pair[0], f"{dat.name}#{number}", factors)

    return Contents(records(), FACTORS)


def _find(root: Path, name: str) -> Path:
    """As it is downloaded, with .gz, or unpacked."""
    for path in (root / name, root / f"{name}.gz"):
        if path.is_file():
            return path
    raise MissingError(f"{root / name}: no such file, nor {name}.gz")


def read_norb(path: Path) -> np.ndarray:
    """One matrix: a number for the type, the number of dimensions, at least three sizes, the elements; all little-endian.

    Raises SourceError naming a file that is damaged or of another format.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError(f"it unpacks to more than {_MOST_BYTES:,} bytes")
        magic, dims = struct.unpack_from("<II", data)
        if magic not in _TYPES or not 1 <= dims <= 8:
            raise ValueError(f"its first number is {magic:#x}")
        shape = struct.unpack_from(f"<{dims}I", data, 8)
        return np.frombuffer(data, _TYPES[magic], math.prod(shape), 8 + 4 * max(3, dims)).reshape(shape)
    except (struct.error, ValueError, OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: cannot be read as a file of SmallNORB ({error})") from None
