"""Some images of each split, and their features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from soda.common.images import to_float
from soda.common.seeds import seed_of
from soda.data.dataset import Split
from soda.evaluation.frozen import require_eval
from soda.evaluation.linear_probe import Features
from soda.model.encoder import encode_with_features

MAX_PIXEL_SIDE = 32  # px; larger pictures are averaged down to it before their pixels are probed
MAX_BYTES = 400_000_000  # of images that are held at once


@dataclass(frozen=True)
class Sample:
    """Some pictures of one split. indices: (n,) positions within the split, ascending."""

    split: Split
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def labels(self) -> np.ndarray:
        """(n,) int64, -1 for a picture without a label."""
        return self.split.labels[self.indices]

    def gather(self, positions: np.ndarray) -> np.ndarray:
        """The pictures at `positions` of this sample, in any order: (len(positions), S, S, C) uint8."""
        return self.split.gather(self.indices[positions])

    def batches(self, size: int) -> Iterator[np.ndarray]:
        for start in range(0, len(self), size):
            yield self.split.gather(self.indices[start : start + size])


def draw_sample(split: Split, limit: int, seed: int) -> Sample:
    """All of the split, or `limit` pictures of it, drawn without looking: a folder's order may be its order of labels."""
    if len(split) <= limit:
        return Sample(split, np.arange(len(split)))
    generator = np.random.default_rng(seed_of("sample", split.name, seed))
    return Sample(split, np.sort(generator.choice(len(split), limit, replace=False)))


@torch.no_grad()
def embed(encoder: nn.Module, sample: Sample, *, batch_size: int, device: torch.device) -> Features:
    """Latents of the pictures as they are, unaugmented: x (n, D) float32 on the CPU. The encoder must be in eval mode."""
    require_eval(encoder)
    z = torch.cat([encoder(images).float().cpu() for images in _images(sample, batch_size, device)])
    return Features(z, torch.from_numpy(sample.labels))


@torch.no_grad()
def embed_features(encoder: nn.Module, sample: Sample, *, batch_size: int, device: torch.device) -> tuple[Features, Features]:
    """Latents as `embed` gives them, and the features (n, F) float32 before them."""
    require_eval(encoder)
    blocks = [encode_with_features(encoder, images) for images in _images(sample, batch_size, device)]
    z, features = (torch.cat([block.float().cpu() for block in each]) for each in zip(*blocks, strict=True))
    labels = torch.from_numpy(sample.labels)
    return Features(z, labels), Features(features, labels)


def _images(sample: Sample, batch_size: int, device: torch.device) -> Iterator[Tensor]:
    """The sample in batches, (b, C, S, S) in [-1, 1], behind a bar."""
    with tqdm(total=len(sample), desc=f"embed {sample.split.name}", unit="img", leave=False) as bar:
        for batch in sample.batches(batch_size):
            yield to_float(batch).to(device)
            bar.update(len(batch))


def draw_positions(sample: Sample, limit: int, seed: int) -> np.ndarray:
    """At most `limit` positions in the sample, in random order: (n,) int64."""
    return np.random.default_rng(seed).permutation(len(sample))[:limit]


def draw_apart(sample: Sample, limit: int, seed: int) -> np.ndarray:
    """As many positions, at most `limit` and half of the sample, none of them among the first so many of `draw_positions`."""
    count = min(limit, len(sample) // 2)
    return draw_positions(sample, len(sample), seed)[len(sample) - count :]


def held_at_once(sample: Sample, limit: int) -> int:
    """How many images of the sample are no more than `limit`, nor than MAX_BYTES; one at least."""
    return max(1, min(limit, MAX_BYTES // sample.split.gather(sample.indices[:1]).nbytes))


def pixels(sample: Sample, batch_size: int) -> Features:
    """The pictures themselves as features: x (n, C * s * s) float32 in [0, 1], s = min(S, MAX_PIXEL_SIDE)."""
    blocks = []
    for batch in sample.batches(batch_size):
        images = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255  # (b, C, S, S)
        if images.shape[-1] > MAX_PIXEL_SIDE:
            images = F.adaptive_avg_pool2d(images, MAX_PIXEL_SIDE)
        blocks.append(images.flatten(1))
    return Features(torch.cat(blocks), torch.from_numpy(sample.labels))


def shuffled(count: int, seed: int) -> np.ndarray:
    """A permutation (count,) that leaves nothing in its place (count > 1): each picture gets the z of a random other one."""
    order = np.random.default_rng(seed_of("shuffle", seed)).permutation(count)
    out = np.empty(count, np.int64)
    out[order] = np.roll(order, 1)
    return out
