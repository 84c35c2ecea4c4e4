"""A world of drawn shapes in colours: labelled pictures by the thousand in no time, of a distribution that is known."""

from __future__ import annotations

import numpy as np

SHAPES = ("disc", "triangle", "square", "ring", "cross")


def drawn(random: np.random.Generator, shapes: np.ndarray, size: int = 24) -> np.ndarray:
    """Shapes near the middle, warm on a ground that is lighter above; place, size, colour, light and noise vary.

    Args:
        shapes: (n,) numbers of SHAPES.
        size: pixels a side.

    Returns:
        (n, size, size, 3) uint8.
    """
    count = len(shapes)
    y, x = np.mgrid[:size, :size] / (size - 1) * 2 - 1  # -1 to 1
    middle = random.uniform(-0.12, 0.12, (2, count, 1, 1))
    radius = random.uniform(0.45, 0.62, (count, 1, 1))
    down, across = (y - middle[0]) / radius, (x - middle[1]) / radius  # (n, S, S), 1 at the shape's edge
    away, reach = np.hypot(down, across), np.maximum(np.abs(down), np.abs(across))
    bar = np.minimum(np.abs(down), np.abs(across))
    masks = (
        away < 1,
        (np.abs(across) < (down + 1) / 1.8) & (down < 0.8),
        reach < 0.85,
        (away < 1) & (away > 0.6),
        (bar < 0.28) & (reach < 1),
    )
    inside = np.select([shapes[:, None, None] == number for number in range(len(SHAPES))], masks)
    light = random.uniform(60, 110, (count, 1, 1, 1)) - 35 * y[None, :, :, None]
    ground = light * random.normal((0.9, 1.0, 1.15), 0.06, (count, 1, 1, 3))
    colour = random.normal((205, 130, 70), 22, (count, 1, 1, 3))
    images = np.where(inside[..., None], colour, ground) + random.normal(0, 5, (count, size, size, 1))
    return np.clip(np.round(images), 0, 255).astype(np.uint8)
