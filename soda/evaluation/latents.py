"""Frozen features of many pictures, the proof that they were frozen, and whether the denoiser uses them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from soda.common.errors import SodaError
from soda.common.images import to_float
from soda.common.seeds import seed_of
from soda.common.tensors import tensors_sha256
from soda.data.dataset import Split
from soda.evaluation.probe import Features
from soda.model.network import SodaNetwork

MAX_PIXEL_SIDE = 32  # px; larger pictures are averaged down to it before their pixels are probed
TIMESTEPS = 8  # at which the use of z is measured, spread evenly over all


class FrozenError(SodaError, RuntimeError):
    """Weights changed, or could have changed, while they were being evaluated: the figures would be worthless."""


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


def weights_hash(module: nn.Module) -> str:
    """SHA-256 over the names, types, shapes and bytes of all parameters and buffers."""
    return tensors_sha256({name: tensor.detach().cpu() for name, tensor in module.state_dict().items()})


@contextmanager
def frozen(model: nn.Module) -> Iterator[str]:
    """Yield the hash of the weights; raise FrozenError when the model is not in eval mode or they differ at the end."""
    _require_eval(model)
    before = weights_hash(model)
    yield before
    _require_eval(model)
    after = weights_hash(model)
    if after != before:
        raise FrozenError(f"the weights changed while they were evaluated: sha256 {before} before, {after} after")


def _require_eval(model: nn.Module) -> None:
    training = [name or type(model).__name__ for name, module in model.named_modules() if module.training]
    if training:
        raise FrozenError(f"{training[0]} is in training mode: its batch statistics would enter the evaluation")


@torch.no_grad()
def embed(encoder: nn.Module, sample: Sample, *, batch_size: int, device: torch.device) -> Features:
    """Latents of the pictures as they are, unaugmented: x (n, D) float32 on the CPU. The encoder must be in eval mode."""
    _require_eval(encoder)
    blocks = []
    with tqdm(total=len(sample), desc=f"embed {sample.split.name}", unit="img", leave=False) as bar:
        for batch in sample.batches(batch_size):
            blocks.append(encoder(to_float(batch).to(device)).float().cpu())
            bar.update(len(batch))
    return Features(torch.cat(blocks), torch.from_numpy(sample.labels))


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


@dataclass(frozen=True)
class LatentUse:
    """Denoising loss with the right z and with another picture's; `gap` = shuffled / right - 1: 0 means that z is ignored."""

    loss: float
    loss_shuffled: float

    @property
    def gap(self) -> float:
        return self.loss_shuffled / max(self.loss, 1e-12) - 1


@torch.no_grad()
def latent_use(model: SodaNetwork, images: Tensor, *, seed: int, batch_size: int) -> LatentUse:
    """Measure on images (N, C, S, S) in [-1, 1], N > 1, each its own source and target, at TIMESTEPS evenly spread t.

    Both losses meet the same noise, drawn from `seed`, so that their ratio is about z alone.
    """
    _require_eval(model)
    z = torch.cat([model.encode(block) for block in images.split(batch_size)])
    other = z[torch.from_numpy(shuffled(len(z), seed)).to(z.device)]
    steps = model.schedule.num_timesteps
    generator = torch.Generator().manual_seed(seed_of("usage", seed))
    sums = {"right": 0.0, "shuffled": 0.0}
    for k in range(TIMESTEPS):
        step = max(1, round((k + 0.5) / TIMESTEPS * steps))
        for block, mine, theirs in zip(images.split(batch_size), z.split(batch_size), other.split(batch_size), strict=True):
            t = torch.full((len(block),), step, device=block.device)
            noise = torch.randn(block.shape, generator=generator).to(block.device, memory_format=torch.channels_last)
            for name, latent in (("right", mine), ("shuffled", theirs)):
                sums[name] += float(model.loss(None, block, t, noise, z=latent, reduction="none").sum(dtype=torch.float64))
    count = TIMESTEPS * len(images)
    return LatentUse(loss=sums["right"] / count, loss_shuffled=sums["shuffled"] / count)


def effective_dim(z: Tensor) -> float:
    """Participation ratio of the covariance's eigenvalues, (sum l)^2 / sum l^2: how many directions carry z. z: (N, D)."""
    centred = (z - z.mean(0)).double()
    covariance = centred.T @ centred / max(1, len(z) - 1)
    total = float(covariance.square().sum())
    return float(covariance.trace()) ** 2 / total if total else 0.0
