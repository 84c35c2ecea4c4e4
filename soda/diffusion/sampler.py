"""Samplers as pure functions of a denoiser. None knows of latents, guidance or how the network was parameterised.

A `Denoise` takes x_t (B, C, H, W) and t (B,) table indices and returns (x_0, eps), both (B, C, H, W), with
x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps. The last step goes to entry 0 of the table, where abar = 1: it lands on x_0 itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from soda.common.checks import one_of
from soda.diffusion.schedule import Schedule

Denoise = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def split_prediction(prediction_type: str, output: Tensor, x_t: Tensor, abar: Tensor) -> tuple[Tensor, Tensor]:
    """(x_0, eps) from a network's output, which is eps, x_0 or v = sqrt(abar) eps - sqrt(1 - abar) x_0 (Salimans & Ho 2022)."""
    signal, sigma = abar.sqrt().to(x_t.dtype), (1 - abar).sqrt().to(x_t.dtype)
    if prediction_type == "eps":
        return (x_t - sigma * output) / signal, output
    if prediction_type == "x_0":
        return output, (x_t - signal * output) / sigma
    return signal * x_t - sigma * output, sigma * x_t + signal * output


def prediction_target(prediction_type: str, x_0: Tensor, eps: Tensor, abar: Tensor) -> Tensor:
    """What a network of this prediction is trained to put out."""
    if prediction_type == "eps":
        return eps
    if prediction_type == "x_0":
        return x_0
    return abar.sqrt().to(x_0.dtype) * eps - (1 - abar).sqrt().to(x_0.dtype) * x_0


def _batch_of(t: int, like: Tensor) -> Tensor:
    return torch.full((like.shape[0],), t, dtype=torch.long, device=like.device)


def _ddim_step(abar: float, abar_next: float, x_0: Tensor, eps: Tensor, eta: float, draw: Callable[[Tensor], Tensor]) -> Tensor:
    """DDIM (Song et al. 2021, eq. 12); eta = 1 is DDPM's posterior on the chosen times (Ho et al. 2020, eq. 7)."""
    # 1 - abar / abar_next is negative only by rounding.
    sigma = eta * math.sqrt((1 - abar_next) / (1 - abar)) * math.sqrt(max(0.0, 1 - abar / abar_next))
    x = math.sqrt(abar_next) * x_0 + math.sqrt(max(0.0, 1 - abar_next - sigma**2)) * eps
    if sigma > 0:
        x = x + sigma * draw(x)
    return x


def _dpmpp_2m_step(abars: tuple[float, ...], x: Tensor, x_0: Tensor, previous_x_0: Tensor | None) -> Tensor:
    """DPM-Solver++ 2M (Lu et al. 2022, algorithm 2) from abar[1] to abar[2]; abar[0] is the time before, where there was one.

    The line through the last two predictions is followed no further than it is known (r >= 1/2; not in the paper): after a short
    step it says more of the network's error than of x_0.
    """
    before, now, after = abars
    if after >= 1:  # log-SNR is infinite there: the step lands on the prediction
        return x_0
    lambdas = [0.5 * math.log(a / (1 - a)) for a in (now, after)]
    h = lambdas[1] - lambdas[0]
    estimate = x_0
    if previous_x_0 is not None:
        r = max((lambdas[0] - 0.5 * math.log(before / (1 - before))) / h, 0.5)
        estimate = (1 + 1 / (2 * r)) * x_0 - 1 / (2 * r) * previous_x_0
    return math.sqrt((1 - after) / (1 - now)) * x - math.sqrt(after) * math.expm1(-h) * estimate


@torch.no_grad()
def sample(
    denoise: Denoise,
    x_T: Tensor,
    schedule: Schedule,
    steps: int,
    *,
    method: str = "ddim",
    eta: float = 0.0,
    spacing: str = "logsnr",
    generator: torch.Generator | None = None,
    alike: bool = False,
    clip: bool = True,
) -> Tensor:
    """Draw x_0 (B, C, H, W) from x_T in `steps` evaluations of the denoiser.

    method: "ddpm", "ddim" (with eta in [0, 1]) or "dpm++2m". clip: keep each predicted x_0 in [-1, 1]. generator: on the CPU,
    of the noise of the stochastic ones, which is so the same on any device; alike: one noise for all images of the batch.
    Raises ValueError for an unknown method or a step count outside 1 .. T.
    """
    one_of("sampler", method, ("ddpm", "ddim", "dpm++2m"))
    times = schedule.sampling_times(steps, spacing)
    table = schedule.alphas_cumprod.tolist()
    x, previous_x_0 = x_T, None

    def noise(like: Tensor) -> Tensor:
        shape = (1, *like.shape[1:]) if alike else like.shape
        return torch.randn(shape, generator=generator, dtype=like.dtype).to(like.device)

    for k, (t, t_next) in enumerate(pairwise(times)):
        x_0, eps = denoise(x, _batch_of(t, x))
        if clip:
            x_0 = x_0.clamp(-1, 1)
            eps = (x - math.sqrt(table[t]) * x_0) / math.sqrt(1 - table[t])  # so that both still explain x
        if method == "dpm++2m":
            x = _dpmpp_2m_step((table[times[max(k - 1, 0)]], table[t], table[t_next]), x, x_0, previous_x_0)
            previous_x_0 = x_0
        else:
            x = _ddim_step(table[t], table[t_next], x_0, eps, 1.0 if method == "ddpm" else eta, noise)
    return x
