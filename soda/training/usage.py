"""Is the latent used? The denoiser can learn to ignore z; this is measured while training and of the finished model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from soda.common.errors import SodaError
from soda.model.batch import LossDraws, ViewBatch
from soda.model.conditions import Context
from soda.model.network import SodaNetwork

Encoded = tuple[Tensor, Context | None]


class UnusedLatentError(SodaError, RuntimeError):
    """The denoiser draws as well with another image's z as with the right one: the encoder learns nothing."""


@dataclass(frozen=True)
class LatentUse:
    """Denoising loss with the right z and with another image's; `gap` = shuffled / right - 1: 0 means that z is ignored.

    z_grad_norm: mean norm of d loss_b / d z_b over the batch, where it was asked for.
    """

    loss: float
    loss_shuffled: float
    z_grad_norm: float = float("nan")

    @property
    def gap(self) -> float:
        return self.loss_shuffled / max(self.loss, 1e-12) - 1


def measure_use(
    network: SodaNetwork,
    batch: ViewBatch,
    seed: int,
    *,
    times: int = 1,
    strangers: Tensor | None = None,
    batch_size: int | None = None,
    gradient: bool = False,
) -> LatentUse:
    """The use of z on B > 1 views. Both losses meet the same t and noise, which `seed` decides, so that their ratio is about z.

    times: at how many t each view is measured: at all of them in turn, spread evenly; at 1 each view has a t of its own, and
    these are spread evenly. strangers: (B,), whose z each view gets in place of its own, by default of that half a batch away
    (neighbours may be of one object, those far away are not). batch_size: views at once, by default all.
    """
    device, size = batch.target.device, batch_size or len(batch)
    rows = [slice(start, start + size) for start in range(0, len(batch), size)]
    right, shuffled = [], []
    with _evaluating(network):
        with torch.no_grad():
            z, context = _encode(network, batch, rows)
        z.requires_grad_(gradient)
        others = torch.arange(len(batch)).roll(max(1, len(batch) // 2)) if strangers is None else strangers
        strange = z.detach()[others.to(device)], None if context is None else context[others.to(device)]
        for draws in _draws(network, batch, seed, times):
            for here in rows:
                of_block = batch[here], draws[here]
                with torch.set_grad_enabled(gradient):
                    right.append(network.loss(*of_block, encoded=_part((z, context), here), reduction="none"))
                with torch.no_grad():
                    shuffled.append(network.loss(*of_block, encoded=_part(strange, here), reduction="none"))
    norms = torch.autograd.grad(torch.cat(right).sum(), z)[0].norm(dim=1) if gradient else torch.tensor(torch.nan)
    return LatentUse(_mean(right), _mean(shuffled), float(norms.mean()))


@torch.no_grad()
def measure_use_of_pose(network: SodaNetwork, batch: ViewBatch, seed: int) -> dict[str, float]:
    """On the view that the network expects, which is what it draws in one step from pure noise: view_psnr, against the target, in
    dB, and pose_gap, by how many dB that falls when the target's cameras are shuffled. Nothing where there are no cameras.
    """
    if batch.target_cameras is None:
        return {}
    noise = next(_draws(network, batch, seed, 1)).noise
    t = torch.full((len(batch),), network.schedule.num_timesteps, device=noise.device)
    with _evaluating(network):
        z, context = network.encode_batch(batch)

        def view_psnr(cameras: Tensor) -> float:
            x_0 = network.predict(noise, t, z, cameras, context)[0].clamp(-1, 1)
            error = (x_0 - batch.target).square().flatten(1).mean(1)
            return float(-10 * (error / 4).clamp(min=1e-10).log10().mean())  # of images in [-1, 1], a range of 2

        right, wrong = view_psnr(batch.target_cameras), view_psnr(batch.target_cameras.roll(1, 0))
    return {"view_psnr": right, "pose_gap": right - wrong}


def _encode(network: SodaNetwork, batch: ViewBatch, rows: list[slice]) -> Encoded:
    blocks = [network.encode_batch(batch[here]) for here in rows]
    contexts = [context for _, context in blocks if context is not None]
    return torch.cat([z for z, _ in blocks]), Context.cat(contexts) if contexts else None


def _part(encoded: Encoded, rows: slice) -> Encoded:
    z, context = encoded
    return z[rows], None if context is None else context[rows]


def _draws(network: SodaNetwork, batch: ViewBatch, seed: int, times: int) -> Iterator[LossDraws]:
    generator, target, T = torch.Generator().manual_seed(seed), batch.target, network.schedule.num_timesteps
    for k in range(times):
        if times == 1:  # in random order: the figure is comparable from step to step and between runs
            t = torch.randperm(len(batch), generator=generator) * T // len(batch) + 1
        else:
            t = torch.full((len(batch),), max(1, round((k + 0.5) / times * T)))
        noise = torch.randn(target.shape, generator=generator)
        yield LossDraws(t.to(target.device), noise.to(target.device, memory_format=torch.channels_last))


def _mean(errors: list[Tensor]) -> float:
    """As the loss has it where all views were measured at once, in float64 where they are too many for that."""
    if len(errors) == 1:
        return float(errors[0].detach().mean())
    return sum(float(each.sum(dtype=torch.float64)) for each in errors) / sum(map(len, errors))


@contextmanager
def _evaluating(network: SodaNetwork) -> Iterator[None]:
    was_training = network.training
    network.eval()
    yield
    network.train(was_training)
