"""dSprites: dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from soda.data.sources.base import SourceError
from soda.data.sources.published.npz import npz_blocks, npz_shape
from soda.data.sources.published.records import Contents, Record

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
FACTORS = ("shape", "scale", "orientation", "x", "y")
_SHAPES = ("square", "ellipse", "heart")
_ROWS = 1000


def read_dsprites(root: Path) -> Contents:
    """737,280 sprites of 64 px, white on black; the first factor, colour, has one value and is left out. No official split."""
    path = root / FILE
    shape = npz_shape(path, "imgs")
    if len(shape) != 3 or npz_shape(path, "latents_classes") != (shape[0], 6):
        raise SourceError(f"{path}: its imgs are {shape}, with latents_classes of {npz_shape(path, 'latents_classes')}")

    def records() -> Iterator[Record]:
        number = 0
        for images, classes in zip(npz_blocks(path, "imgs", _ROWS), npz_blocks(path, "latents_classes", _ROWS), strict=True):
            for image, found in zip(images, classes.astype(int).tolist(), strict=True):
                if not (image.dtype == np.uint8 and image.max() <= 1 and 0 <= found[1] < len(_SHAPES)):
                    raise SourceError(f"{path}: image {number} is none of nought and one, or its classes {found} are none")
                values = (_SHAPES[found[1]], *(f"{value:02d}" for value in found[2:]))
                factors = dict(zip(FACTORS, values, strict=True))
                yield Record(f"sprite-{number:06d}", "", factors["shape"], "", image * 255, f"{FILE}#{number}", factors)
                number += 1

    return Contents(records(), FACTORS)
