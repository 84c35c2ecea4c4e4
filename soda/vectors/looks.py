"""How a picture looks, for telling copies from mere likeness: the digest of its pixels, and a thumbnail.

Copies are near ones where two thumbnails differ hardly anywhere: saved again, resized, recompressed; or hardly anywhere but in a
few spots: a date stamped on it, a pixel mended. Two pictures of a burst, or two products of one shape, are no copies.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from soda.common.files import file_sha256
from soda.runtime import PictureError
from soda.runtime.pillows_limit import allowing
from soda.runtime.preprocess import MAX_PIXELS, load_picture

SIDE, TILE = 64, 4
"""px: sides of the thumbnail and of the tiles in which it is compared."""

EDITED = 12.0
"""Grey levels by which the pixels of a tile differ, on average, where it shows something else: JPEG at quality 50 stays below."""

EDITED_SHARE = 0.02
"""Of the tiles that show anything at all, that may be edited: a face of emoji has its mouth and eyes on more."""

ALIKE = 4.0
"""Grey levels by which the other tiles may differ, on average."""

COARSE = ALIKE + EDITED_SHARE * 255
"""By which two near copies may differ on average, edited tiles and all."""

ROUNDED = 16.0
"""Of a sum over all tiles, what waiting in float16 may add to it: half a step of 1 / 8, at 256 tiles."""

BUSY = 4.0
"""Deviation of grey levels from which a tile shows something."""

ASPECT = 0.03
"""By which the ratios of width to height may differ: one row of pixels cut off, not a crop."""

_PLAIN = {"1", "L", "RGB", "P", "CMYK", "YCbCr"}  # modes of 8 bits at most, without transparency


@dataclass(frozen=True)
class Look:
    """A picture as it is compared. plain: all there is to it is one frame of 8 bits; of others (animations, transparency, 16
    bits) the pixels say too little, and only the same bytes are a copy. thumb: (SIDE, SIDE, 3) uint8."""

    path: Path
    bytes: int
    width: int
    height: int
    plain: bool
    digest: str
    thumb: np.ndarray

    def order(self, same: int) -> tuple[bool, int, int, int, str]:
        """The least stays, of copies: no link, more pixels, what more have the pixels of (`same`: it may be the one that nobody
        edited), more bytes, then the first by name."""
        return self.path.is_symlink(), -self.width * self.height, -same, -self.bytes, str(self.path)


def look_at(path: Path, max_pixels: int = MAX_PIXELS) -> Look | None:
    """None for a picture that cannot be read."""
    try:
        image = load_picture(path, max_pixels=max_pixels)
        plain = _is_plain(path, max_pixels)
        digest = hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest() if plain else file_sha256(path)
        thumb = np.asarray(
            image.resize((SIDE, SIDE), Image.Resampling.BOX if min(image.size) >= SIDE else Image.Resampling.BILINEAR)
        )
        return Look(path, path.stat().st_size, *image.size, plain, digest, thumb)
    except (PictureError, OSError):
        return None


def are_near(a: Look, b: Look) -> bool:
    """Whether one is the other, saved again, resized or edited in a spot."""
    if not (a.plain and b.plain) or abs(math.log(a.width * b.height / (a.height * b.width))) > ASPECT:
        return False
    first, second = a.thumb.astype(np.float32), b.thumb.astype(np.float32)
    apart = _tiles(np.abs(first - second)).mean(1)
    edited = apart > EDITED
    busy = (_tiles(first).std(1) > BUSY) | (_tiles(second).std(1) > BUSY) | edited
    return bool(edited.sum() <= EDITED_SHARE * busy.sum() and apart[~edited].mean() <= ALIKE)


def coarse(look: Look) -> np.ndarray:
    """8 x 8 grey levels: (64,) float32. Those of near copies differ by COARSE at most, on average."""
    return look.thumb.astype(np.float32).reshape(8, SIDE // 8, 8, SIDE // 8, 3).mean((1, 3, 4)).reshape(-1)


def fine(look: Look) -> np.ndarray:
    """Half of the thumbnail's sides, in colour, tile by tile: (tiles, 12) float32."""
    half = SIDE // 2
    means = look.thumb.astype(np.float32).reshape(half, 2, half, 2, 3).mean((1, 3))
    return _tiles(means, TILE // 2)


def may_be_near(many: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Which of some pictures (n, tiles, 12) can be near copies of one (tiles, 12), all as `fine` has them: (n,) bool.

    Where `are_near` holds, so does this: means differ by no more than what they are means of, whichever tiles were edited.
    """
    apart = np.abs(many.astype(np.float32) - one).mean(2)  # (n, tiles)
    left = len(one) - int(EDITED_SHARE * len(one))
    return np.partition(apart, left - 1, axis=1)[:, :left].sum(1) <= ALIKE * len(one) + ROUNDED


def _tiles(values: np.ndarray, side: int = TILE) -> np.ndarray:
    """Tiles of `side` px: (S, S, 3) -> (tiles, numbers of a tile)."""
    count = len(values) // side
    return values.reshape(count, side, count, side, 3).transpose(0, 2, 1, 3, 4).reshape(count * count, -1)


def _is_plain(path: Path, max_pixels: int) -> bool:
    try:
        with allowing(max_pixels), Image.open(path) as image:
            still = getattr(image, "n_frames", 1) == 1
            return (
                still and image.mode in _PLAIN and "transparency" not in image.info and image.width * image.height <= max_pixels
            )
    except Exception:  # a format that Pillow alone does not know
        return False
