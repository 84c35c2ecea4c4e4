"""Thumbnails, many on one image: a browser takes a few large images where it would not take a hundred thousand small ones."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from soda.common.cores import usable_cores
from soda.runtime import PictureError
from soda.runtime.preprocess import MAX_PIXELS, load_picture

SHEET = 1536
"""px: the side of a sheet of tiles, which every graphics processor takes."""

SIDES = ((4_000, 64), (20_000, 48), (50_000, 32), (100_000, 24))
"""Up to so many pictures tiles have so many px a side: all of them fill the memory of a phone's browser no further."""

MISSING = 0x80
"""The grey of a picture that cannot be read."""

_QUALITY = 78


@dataclass(frozen=True)
class Sheet:
    """jpeg: the bytes of an image of SHEET x SHEET px; colours: means of its pictures, (n, 3) uint8; missing: how many of these
    cannot be read."""

    jpeg: bytes
    colours: np.ndarray
    missing: int


def side_for(count: int) -> int:
    """px: the side of a tile, a multiple of 8, so that JPEG mixes no two."""
    return next((side for most, side in SIDES if count <= most), SIDES[-1][1])


def sheets(paths: Sequence[Path], side: int, max_pixels: int = MAX_PIXELS) -> Iterator[Sheet]:
    """All pictures in their order, row by row on each sheet, cropped square."""
    across = SHEET // side
    with ThreadPoolExecutor(usable_cores()) as pool:
        for start in range(0, len(paths), across * across):
            here = paths[start : start + across * across]
            tiles = list(pool.map(lambda path: _tile(path, side, max_pixels), here))
            pixels = np.full((SHEET, SHEET, 3), MISSING, np.uint8)
            colours = np.full((len(here), 3), MISSING, np.uint8)
            for place, tile in enumerate(tiles):
                if tile is not None:
                    top, left = place // across * side, place % across * side
                    pixels[top : top + side, left : left + side] = tile
                    colours[place] = tile.mean((0, 1)).round()
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
            yield Sheet(buffer.getvalue(), colours, sum(tile is None for tile in tiles))


def _tile(path: Path, side: int, max_pixels: int) -> np.ndarray | None:
    """(side, side, 3) uint8; None of a picture that cannot be read."""
    try:
        image = load_picture(path, max_pixels=max_pixels)
    except PictureError:
        return None
    small = min(image.size) < side
    return np.asarray(ImageOps.fit(image, (side, side), Image.Resampling.NEAREST if small else Image.Resampling.BOX))
