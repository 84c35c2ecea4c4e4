"""Does the denoiser use z? Its loss with the right one and with another image's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from soda.common.seeds import seed_of
from soda.evaluation.frozen import require_eval
from soda.evaluation.samples import shuffled
from soda.model.network import SodaNetwork

TIMESTEPS = 8  # spread evenly over all


@dataclass(frozen=True)
class UsageGap:
    """Denoising loss with the right z and with another picture's; `gap` = shuffled / right - 1: 0 means that z is ignored."""

    loss: float
    loss_shuffled: float

    @property
    def gap(self) -> float:
        return self.loss_shuffled / max(self.loss, 1e-12) - 1


@torch.no_grad()
def latent_use(model: SodaNetwork, images: Tensor, *, seed: int, batch_size: int) -> UsageGap:
    """Measure on images (N, C, S, S) in [-1, 1], N > 1, each its own source and target, at TIMESTEPS evenly spread t.

    Both losses meet the same noise, drawn from `seed`, so that their ratio is about z alone.
    """
    require_eval(model)
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
    return UsageGap(loss=sums["right"] / count, loss_shuffled=sums["shuffled"] / count)
