"""Vectors as the page searches among them: fewer numbers, of 8 bits each."""

from __future__ import annotations

import numpy as np

WIDTH = 64
"""Numbers that are kept of each, at most: those along which the vectors are longest."""


def shrunk(z: np.ndarray) -> np.ndarray:
    """z (n, D) float32 of length 1 -> (n, min(D, WIDTH)) int8, whose cosines are about those of z."""
    axes = np.linalg.eigh(z.T @ z)[1][:, ::-1][:, :WIDTH]
    rows = z @ axes
    most = np.abs(rows).max(1, keepdims=True)
    return np.round(rows * (127 / np.maximum(most, 1e-12))).astype(np.int8)
