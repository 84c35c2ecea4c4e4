"""Animated GIF and WebP of a walk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from soda.common.errors import InputError
from soda.common.files import whole_file
from soda.viz.sheets import enlarge

SUFFIXES = (".gif", ".webp")
SIDE = 256


def require_fps(fps: float) -> None:
    if not 1 <= fps <= 50:
        raise InputError(f"fps: {fps!r} is not possible; must be 1 to 50 pictures a second")


def save_animation(frames: np.ndarray, path: Path, *, fps: float = 15.0, back: bool = False, side: int = SIDE) -> None:
    """Write frames (F, S, S, C) uint8 as an endless loop, the same bytes for the same frames; the suffix decides the format.

    back: run to the end and back again, for walks that do not close. fps: GIF counts in hundredths of a second. Raises ValueError
    for another suffix, for no frames and for a rate outside 1 .. 50.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: an animation is one of {', '.join(SUFFIXES)}")
    require_fps(fps)
    if not len(frames):
        raise InputError("an animation takes at least one frame")
    images = [enlarge(frame, side) for frame in (np.concatenate([frames, frames[-2:0:-1]]) if back else frames)]
    settings = {"lossless": True} if path.suffix.lower() == ".webp" else {"optimize": False, "disposal": 1}
    kind = path.suffix.lower().removeprefix(".")
    with whole_file(path) as temporary:
        images[0].save(
            temporary, format=kind, save_all=True, append_images=images[1:], duration=10 * round(100 / fps), loop=0, **settings
        )
