"""White sprites on black, by their distance to the outline in NumPy: what `dsprites_like` is drawn from."""

from __future__ import annotations

import numpy as np

SHAPES = ("square", "ellipse", "heart")
SCALES = np.linspace(0.5, 1.0, 6)
ORIENTATIONS = 40  # steps of a whole turn
PLACES = 32  # along each axis

FINER = 4  # points a pixel along each side
_RADIUS = 0.17  # of the image's side, at scale 1
_MARGIN = 0.2  # of the image's side, from its edge to the outermost middle of a sprite


def sprite(shape: int, scale: int, orientation: int, x: int, y: int, size: int) -> np.ndarray:
    """An image of (size, size) uint8, each pixel the share of FINER x FINER points that lie in the sprite."""
    step = (1 - 2 * _MARGIN) / (PLACES - 1)
    points = (np.arange(size * FINER, dtype=np.float32) + 0.5) / (size * FINER)
    turn = 2 * np.pi * orientation / ORIENTATIONS
    across, down = points - (_MARGIN + step * x), points - (_MARGIN + step * y)
    reach = 1.3 * _RADIUS * SCALES[scale]  # no sprite is wider
    columns, rows = (np.flatnonzero(np.abs(each) < reach) for each in (across, down))
    u, v = across[None, columns] / (_RADIUS * SCALES[scale]), down[rows, None] / (_RADIUS * SCALES[scale])
    u, v = u * np.cos(turn) + v * np.sin(turn), v * np.cos(turn) - u * np.sin(turn)
    fine = np.zeros((size * FINER, size * FINER), np.float32)
    fine[np.ix_(rows, columns)] = _inside(SHAPES[shape], u, v)
    return (fine.reshape(size, FINER, size, FINER).mean((1, 3)) * 255 + 0.5).astype(np.uint8)


def _inside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Which points lie in the sprite of radius 1; v points down."""
    if shape == "square":
        return (np.abs(u) < 0.85) & (np.abs(v) < 0.85)
    if shape == "ellipse":
        return np.square(u / 1.15) + np.square(v / 0.6) < 1
    # A heart: the curve (x^2 + y^2 - 1)^3 = x^2 y^3 with y up, made smaller to fit.
    x, y = 1.15 * u, -1.15 * v
    return (x**2 + y**2 - 1) ** 3 < x**2 * y**3
