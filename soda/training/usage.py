"""Is the latent used? The denoiser can learn to ignore z; this is measured while training, on fixed validation pictures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from soda.model.soda import SODA


class UnusedLatentError(RuntimeError):
    """The denoiser draws as well with another picture's z as with the right one: the encoder learns nothing."""


@dataclass(frozen=True)
class LatentUse:
    """loss: with the right z; gap: loss with z shuffled / loss - 1; z_grad_norm: mean norm of d loss_b / d z_b over the batch.

    pose_gap: loss with the target cameras shuffled / loss - 1, of a model that is told of cameras.
    """

    loss: float
    gap: float
    z_grad_norm: float
    pose_gap: float | None = None


def measure_use(
    model: SODA, images: Tensor, seed: int, sources: Tensor | None = None, cameras: Tensor | None = None
) -> LatentUse:
    """Measure on `images` (B, C, S, S) in [-1, 1], each its own source and target, with t and noise fixed by `seed`.

    sources: (B, C, S, S), the source views where they are others; cameras: (B, 2, 16), of source and target.
    """
    generator = torch.Generator().manual_seed(seed)
    steps = model.schedule.num_timesteps
    # Evenly over t, in random order: the figure is comparable from step to step and between runs.
    t = (torch.randperm(len(images), generator=generator) * steps // len(images) + 1).to(images.device)
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        z = model.encode(images if sources is None else sources, None if cameras is None else cameras[:, 0])
    z.requires_grad_(True)
    at = None if cameras is None else cameras[:, 1]
    errors = model.loss(None, images, t, noise, z=z, target_cameras=at, reduction="none")
    (gradient,) = torch.autograd.grad(errors.sum(), z)
    with torch.no_grad():
        shuffled = float(model.loss(None, images, t, noise, z=z.roll(1, 0), target_cameras=at))
        wrong = None if at is None else float(model.loss(None, images, t, noise, z=z, target_cameras=at.roll(1, 0)))
    model.train(was_training)
    loss = max(float(errors.detach().mean()), 1e-12)
    return LatentUse(
        loss=loss,
        gap=shuffled / loss - 1,
        z_grad_norm=float(gradient.norm(dim=1).mean()),
        pose_gap=None if wrong is None else wrong / loss - 1,
    )
