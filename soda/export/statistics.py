"""Mean and standard deviation of each component of z, and of the features, over the training pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


@dataclass
class Moments:
    """Sums over the outputs (B, D) of one name. floor: least deviation of a component, as a share of the largest."""

    what: str
    floor: float
    count: int = 0
    total: np.ndarray | float = 0.0
    squares: np.ndarray | float = 0.0

    def add(self, values: np.ndarray) -> None:
        self.count += len(values)
        self.total, self.squares = self.total + values.sum(0), self.squares + (values**2).sum(0)

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """(mean, std): (D,) float32 each, std above 0."""
        mean = np.asarray(self.total / self.count)
        std = np.sqrt(np.maximum(self.squares / self.count - mean**2, 0))
        std = np.maximum(std, self.floor * std.max())
        if not std.max() > 0:
            std = np.ones_like(std)
        return mean.astype(np.float32), std.astype(np.float32)


@torch.inference_mode()
def output_moments(
    encode: Callable[[Tensor], tuple[Tensor, Tensor]], split: Split, *, batch_size: int = 256
) -> tuple[Moments, Moments]:
    """Of z and of the features, over at most MAX_IMAGES images of the split, in one pass.

    encode: images (B, C, S, S) in [-1, 1] -> (z, features). Raises ExportError when there is no image, or an output is not
    finite, naming the image.
    """
    indices = evenly_spaced(len(split), MAX_IMAGES)
    if not len(indices):
        raise ExportError(f"the {split.name} split has no pictures, so z has no statistics")
    found = Moments("z", MIN_RELATIVE_STD), Moments("features", FEATURE_FLOOR)
    with tqdm(total=len(indices), desc="statistics of z and features", unit="img") as progress:
        for start in range(0, len(indices), batch_size):
            batch = indices[start : start + batch_size]
            for moments, output in zip(found, encode(to_float(split.gather(batch))), strict=True):
                values = output.double().numpy()
                if not np.isfinite(values).all():
                    bad = batch[np.flatnonzero(~np.isfinite(values).all(1))[0]]
                    raise ExportError(
                        f"{moments.what} of picture {split.ids[bad]} ({split.files[bad]}) is not finite: train the model again"
                    )
                moments.add(values)
            progress.update(len(batch))
    return found
