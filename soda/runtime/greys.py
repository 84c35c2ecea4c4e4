"""Values of any depth as the 256 grey levels that a screen shows."""

from __future__ import annotations

import numpy as np

from soda.runtime.picture_error import PictureError

_BLOCK = 1 << 22  # values scaled at once, so that a large 16-bit picture needs little more than its own memory


def range_of(values: np.ndarray) -> tuple[float, float]:
    """What is black and what is white among values that have no agreed range: the narrowest of [0, 1] (floats only), [0, 255] and
    [0, 65535] that holds them all, else their least and their greatest. Raises PictureError for values that are not finite."""
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise PictureError("it holds values that are not finite (NaN or infinity)")
    for top in (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0):
        if low >= 0 and high <= top:
            return 0.0, top
    return low, high


def to_8_bit(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map [low, high] linearly to [0, 255]: (H, ...) of any number type -> uint8 of the same shape, a block of rows at a time."""
    out = np.zeros(values.shape, np.uint8)
    scale = 255.0 / (high - low) if high > low else 0.0
    rows = max(1, _BLOCK // max(1, int(np.prod(values.shape[1:]))))
    for start in range(0, values.shape[0], rows):
        block = (values[start : start + rows].astype(np.float64) - low) * scale
        out[start : start + rows] = np.clip(np.floor(block + 0.5), 0, 255)
    return out
