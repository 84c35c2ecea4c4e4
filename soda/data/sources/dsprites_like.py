"""White sprites on black, after dSprites (Matthey et al. 2017), drawn here: the same five factors with as many values each.

It is not that set. Outlines are ours, edges are antialiased, and the 40 orientations are steps of a whole turn, none twice. As
there, a square looks alike after a quarter of it, an ellipse after a half.
"""

from __future__ import annotations

import numpy as np

from soda.data.rendering.sprites import ORIENTATIONS, PLACES, SCALES, SHAPES, sprite
from soda.data.sources.grid import Grid

__all__ = ["COLUMNS", "LICENCE", "draw", "fetch", "opened", "origin"]

COLUMNS: dict[str, object] = {}
LICENCE = "CC0-1.0: drawn from numbers"
_PLACE = [f"{place:02d}" for place in range(PLACES)]


def draw(values: tuple[int, ...], size: int) -> np.ndarray:
    """One sprite. values: of the factors in the order of the grid."""
    shape, scale, orientation, x, y = values
    return sprite(shape, scale, orientation, x, y, size)


GRID = Grid(
    "sprites after dSprites, drawn here",
    {
        "shape": SHAPES,
        "scale": [f"{scale:.1f}" for scale in SCALES],
        "orientation": [f"{k * 360 // ORIENTATIONS:03d}" for k in range(ORIENTATIONS)],
        "x": _PLACE,
        "y": _PLACE,
    },
    draw,
)
origin, fetch, opened = GRID.origin, GRID.fetch, GRID.opened
