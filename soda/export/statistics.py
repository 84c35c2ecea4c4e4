"""Mean and standard deviation of each component of z, and of the features, over the training pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from soda.common.images import to_float
from soda.data.dataset import Split
from soda.export import ExportError

MAX_IMAGES = 100_000
"""Of a larger split, this many evenly spaced pictures are taken."""

MIN_RELATIVE_STD = 1e-3
"""Below this share of the largest standard deviation, a component's is raised to it: a dead one is not blown up into noise."""

FEATURE_FLOOR = 0.1
"""The same of features, which pass a ReLU: one that hardly any picture rouses must not outweigh those that many do."""


def evenly_spaced(count: int, most: int) -> np.ndarray:
    """min(count, most) indices of range(count), ascending and evenly spaced: int64."""
    return np.arange(min(count, most), dtype=np.int64) * count // max(1, min(count, most))


def gather_rgb(split: Split, indices: np.ndarray) -> np.ndarray:
    """Pictures of a split as the exported encoder takes them: (n, S, S, 3) uint8."""
    images = split.gather(indices)
    return images.repeat(3, axis=3) if images.shape[3] == 1 else images


@torch.inference_mode()
def latent_statistics(
    encoder: Callable[[Tensor], Tensor],
    split: Split,
    *,
    batch_size: int = 256,
    floor: float = MIN_RELATIVE_STD,
    what: str = "z",
) -> tuple[np.ndarray, np.ndarray, int]:
    """(mean, std, pictures): (D,) float32 each, std above 0, over this many pictures of the split.

    encoder: images (B, C, S, S) in [-1, 1] -> (B, D), called `what` in messages; floor: least deviation, of the largest.

    Raises ExportError when there is no picture, or z is not finite, naming the picture.
    """
    indices = evenly_spaced(len(split), MAX_IMAGES)
    if not len(indices):
        raise ExportError(f"the {split.name} split has no pictures, so {what} has no statistics")
    total: np.ndarray | float = 0.0
    squares: np.ndarray | float = 0.0
    with tqdm(total=len(indices), desc=f"statistics of {what}", unit="img") as progress:
        for start in range(0, len(indices), batch_size):
            batch = indices[start : start + batch_size]
            z = encoder(to_float(split.gather(batch))).double().numpy()
            if not np.isfinite(z).all():
                bad = batch[np.flatnonzero(~np.isfinite(z).all(1))[0]]
                raise ExportError(f"{what} of picture {split.ids[bad]} ({split.files[bad]}) is not finite: train the model again")
            total, squares = total + z.sum(0), squares + (z**2).sum(0)
            progress.update(len(batch))
    mean = np.asarray(total / len(indices))
    std = np.sqrt(np.maximum(squares / len(indices) - mean**2, 0))
    std = np.maximum(std, floor * std.max())
    if not std.max() > 0:
        std = np.ones_like(std)
    return mean.astype(np.float32), std.astype(np.float32), len(indices)
