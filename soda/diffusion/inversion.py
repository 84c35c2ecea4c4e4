"""Exact reconstruction: the x_T from which deterministic DDIM draws a given picture.

Plain inversion runs DDIM backwards with the noise predicted at the wrong end of each step, an error of first order (Song et al.
2021, section 4.3). Here each step is solved for the point that the sampler would have come from.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from soda.common.checks import whole_number
from soda.diffusion.sampler import Denoise
from soda.diffusion.schedule import Schedule

ROUNDS = 3
"""Evaluations of the denoiser a step."""


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Of each picture by itself: (B, C, H, W) twice -> (B, 1, 1, 1)."""
    return (a * b).flatten(1).sum(1)[:, None, None, None]


def _solve_step(denoise: Denoise, x: Tensor, time: Tensor, carried: Tensor, weight: float, rounds: int) -> tuple[Tensor, Tensor]:
    """x = carried + weight * eps(x) from a first guess: (x, the eps last seen), by fixed-point iteration with a secant.

    The secant is Anderson acceleration of depth 1 (Walker & Ni 2011), of each picture by itself.
    """
    eps = torch.zeros_like(x)
    before: tuple[Tensor, Tensor] | None = None  # what the last round put in, as (result, residual)
    for _ in range(rounds):
        eps = denoise(x, time)[1]
        result = carried + weight * eps
        residual = result - x
        x = result
        if before is not None:
            bend = residual - before[1]
            share = (_dot(residual, bend) / _dot(bend, bend).clamp_min(1e-12)).clamp(-3, 3)  # far out a secant says nothing
            x = result - share * (result - before[0])
        before = result, residual
    return x, eps


@torch.no_grad()
def invert_exactly(
    denoise: Denoise, x_0: Tensor, schedule: Schedule, steps: int, *, rounds: int = ROUNDS, spacing: str = "logsnr"
) -> Tensor:
    """The x_T (B, C, H, W) from which `sample(method="ddim", eta=0, clip=False)` with the same steps gives back x_0.

    A DDIM step (eq. 12, eta = 0) goes from x at abar to x' at abar' > abar. Written for x it is
    x = sqrt(abar / abar') x' + (sqrt(1 - abar) - sqrt(abar (1 - abar') / abar')) eps(x), of which the right side contracts: by
    1 - sqrt(SNR / SNR') at most where the data have no variance, by 0 where they have much. The noise last seen, one step nearer
    the picture, makes the first guess, and `rounds` evaluations correct it: steps * rounds in all. Raises ValueError for steps
    outside 1 .. T and for no round.
    """
    whole_number("rounds", rounds, 1)
    table = schedule.alphas_cumprod.tolist()
    x, eps = x_0, torch.zeros_like(x_0)
    for t_before, t in pairwise(schedule.sampling_times(steps, spacing)[::-1]):
        abar_before, abar = table[t_before], table[t]
        carried = math.sqrt(abar / abar_before) * x
        weight = math.sqrt(1 - abar) - math.sqrt(abar * (1 - abar_before) / abar_before)
        time = torch.full((len(x),), t, dtype=torch.long, device=x.device)
        x, eps = _solve_step(denoise, carried + weight * eps, time, carried, weight, rounds)
    return x
