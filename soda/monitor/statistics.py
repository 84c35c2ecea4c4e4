"""What is counted of every picture besides its z: a few numbers that a person can name."""

from __future__ import annotations

import numpy as np

NAMES = ("brightness", "contrast", "edges", "extremes", "red_minus_blue", "red_like_green", "green_like_blue")


def statistics_of(images: np.ndarray) -> np.ndarray:
    """Images (N, H, W, 1 or 3) uint8 -> (N, 7) float32, in the order of NAMES.

    brightness and contrast: mean and spread of all values; edges: mean absolute difference of neighbours; extremes: share of 0
    and 255; red_minus_blue: difference of their means; the likenesses: correlations of two channels over the pixels, 1 for grey.
    """
    values = images.astype(np.float32) / 255.0
    if values.shape[3] == 1:
        values = np.repeat(values, 3, axis=3)
    across, down = np.abs(np.diff(values, axis=2)), np.abs(np.diff(values, axis=1))
    mean = values.mean(axis=(1, 2))  # (N, 3)
    columns = [
        values.mean(axis=(1, 2, 3)),
        values.std(axis=(1, 2, 3)),
        (across.mean(axis=(1, 2, 3)) + down.mean(axis=(1, 2, 3))) / 2,
        ((images == 0) | (images == 255)).mean(axis=(1, 2, 3)),
        mean[:, 0] - mean[:, 2],
        _likeness(values[..., 0], values[..., 1]),
        _likeness(values[..., 1], values[..., 2]),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _likeness(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation over the pixels of each image: (N, H, W) twice -> (N,); 1 where a channel is flat."""
    a = a - a.mean(axis=(1, 2), keepdims=True)
    b = b - b.mean(axis=(1, 2), keepdims=True)
    spread = np.sqrt((a * a).sum(axis=(1, 2)) * (b * b).sum(axis=(1, 2)))
    return np.where(spread > 1e-6, (a * b).sum(axis=(1, 2)) / np.maximum(spread, 1e-6), 1.0)
