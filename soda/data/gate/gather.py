"""Pixels of some pictures of the prepared data, read from their shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def gather(pictures: pd.DataFrame, rows: np.ndarray, shards: list[Path]) -> np.ndarray:
    """Images (n, S, S, C) uint8 of the given rows of `pictures`, which say where each lies (shard, row); n at least 1."""
    shard, row = (pictures[name].to_numpy()[rows].astype(np.int64) for name in ("shard", "row"))
    images: list[Any] = [None] * len(rows)
    for index in np.unique(shard):
        mapped = np.load(shards[index], mmap_mode="r", allow_pickle=False)
        for here in np.flatnonzero(shard == index):
            images[here] = mapped[row[here]]
    return np.stack(images)
