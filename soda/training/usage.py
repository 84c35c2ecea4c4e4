"""Is the latent used? The denoiser can learn to ignore z; this is measured while training, on fixed validation pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from soda.common.errors import SodaError
from soda.model.conditions import Context
from soda.model.network import SodaNetwork


class UnusedLatentError(SodaError, RuntimeError):
    """The denoiser draws as well with another picture's z as with the right one: the encoder learns nothing."""


@dataclass(frozen=True)
class LatentUse:
    """loss: with the right z; gap: loss with z shuffled / loss - 1; z_grad_norm: mean norm of d loss_b / d z_b over the batch.

    pose: of a model that is told of cameras, on the view that it expects, which is what it draws in one step from pure noise:
    view_psnr, against the target, in dB, and pose_gap, by how many dB that falls when the target's cameras are shuffled.
    """

    loss: float
    gap: float
    z_grad_norm: float
    pose: dict[str, float] = field(default_factory=dict)


def measure_use(
    model: SodaNetwork, images: Tensor, seed: int, sources: Tensor | None = None, cameras: Tensor | None = None
) -> LatentUse:
    """Measure on `images` (B, C, S, S) in [-1, 1], each its own source and target, with t and noise fixed by `seed`.

    sources: (B, C, S, S), the source views where they are others; cameras: (B, 2, 16), of source and target.
    """
    generator = torch.Generator().manual_seed(seed)
    steps = model.schedule.num_timesteps
    # Evenly over t, in random order: the figure is comparable from step to step and between runs.
    t = (torch.randperm(len(images), generator=generator) * steps // len(images) + 1).to(images.device)
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    far = max(1, len(images) // 2)  # neighbours may be of one object, those far away are not
    was_training = model.training
    model.eval()
    source = images if sources is None else sources
    context = None
    with torch.no_grad():
        if model.attends_views and cameras is not None:
            z, context = model.encode_views(source[:, None], cameras[:, :1])
        else:
            z = model.encode(source, None if cameras is None else cameras[:, 0])
    z.requires_grad_(True)
    at = None if cameras is None else cameras[:, 1]
    errors = model.loss(None, images, t, noise, z=z, target_cameras=at, context=context, reduction="none")
    (gradient,) = torch.autograd.grad(errors.sum(), z)
    with torch.no_grad():
        strange = None if context is None else context.roll(far)
        shuffled = float(model.loss(None, images, t, noise, z=z.roll(far, 0), target_cameras=at, context=strange))
        pose = {} if at is None else _use_of_pose(model, images, noise, z, at, context)
    model.train(was_training)
    loss = max(float(errors.detach().mean()), 1e-12)
    return LatentUse(
        loss=loss,
        gap=shuffled / loss - 1,
        z_grad_norm=float(gradient.norm(dim=1).mean()),
        pose=pose,
    )


def _use_of_pose(
    model: SodaNetwork, images: Tensor, noise: Tensor, z: Tensor, cameras: Tensor, context: Context | None
) -> dict[str, float]:
    t = torch.full((len(images),), model.schedule.num_timesteps, device=images.device)

    def view_psnr(at: Tensor) -> float:
        error = (model.predict(noise, t, z, at, context)[0].clamp(-1, 1) - images).square().flatten(1).mean(1)
        return float(-10 * (error / 4).clamp(min=1e-10).log10().mean())  # of pictures in [-1, 1], a range of 2

    right, wrong = view_psnr(cameras), view_psnr(cameras.roll(1, 0))
    return {"view_psnr": right, "pose_gap": right - wrong}
