"""Rooms with one object, after 3D Shapes (Burgess & Kim 2018), drawn here: the same six factors with as many values each.

It is not that set. Rays are cast in NumPy, one lamp stands in the room, the camera sees a corner of it; colours, angles and
proportions are ours. Figures on it stand beside published ones only as those of a like task.
"""

from __future__ import annotations

import numpy as np

from soda.data.rendering.shapes_room import HUES, ORIENTATIONS, SCALES, SHAPES, room
from soda.data.sources.grid import Grid

__all__ = ["COLUMNS", "LICENCE", "draw", "fetch", "opened", "origin"]

COLUMNS: dict[str, object] = {}
LICENCE = "CC0-1.0: drawn from numbers"
_HUE = [f"{hue * 360 // HUES:03d}" for hue in range(HUES)]  # degrees; written so that they sort as they count


def draw(values: tuple[int, ...], size: int) -> np.ndarray:
    """One room. values: of the factors in the order of the grid."""
    floor, wall, thing, scale, shape, orientation = values
    return room(shape, scale, orientation, (floor, wall, thing), size)


GRID = Grid(
    "rooms after 3D Shapes, drawn here",
    {
        "floor_hue": _HUE,
        "wall_hue": _HUE,
        "object_hue": _HUE,
        "scale": [f"{scale:.3f}" for scale in SCALES],
        "shape": SHAPES,
        "orientation": [f"{k:02d}: {angle:+.1f}" for k, angle in enumerate(ORIENTATIONS)],
    },
    draw,
)
origin, fetch, opened = GRID.origin, GRID.fetch, GRID.opened
