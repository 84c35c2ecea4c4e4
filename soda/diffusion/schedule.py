"""Noise schedules. One table of abar serves training and sampling; entry 0 is the clean picture, entry T the noisiest.

x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn

from soda.common.checks import one_of, whole_number
from soda.common.timesteps import first_on_floor, sampling_times

ABAR_FLOOR = 1e-4
"""Least abar of a table. At abar = 0 a noise-predicting network says nothing about x_0; at 1e-4 (-40 dB) x_0 can still be
recovered in float32 to 1e-4, and the leak of the picture into x_T is inaudible. Training and sampling see the same floor."""


def inverted_abar(t: Tensor, s: float = 0.008) -> Tensor:
    """The inverted cosine schedule: steep at both ends, so that most of the time is spent at middle noise.

    t: in [0, 1] -> abar in [0, 1]: ((2 (1 + s) / pi) arccos(sqrt(t)) - s), divided by its value at 0 and clamped. Not stated in
    the paper; the open reproduction's inverse of `cosine_abar`.
    """
    return (((2 * (1 + s) / math.pi) * torch.arccos(torch.sqrt(t)) - s) / (2 * (1 + s) / math.pi * (math.pi / 2) - s)).clamp(0, 1)


def cosine_abar(t: Tensor, s: float = 0.008) -> Tensor:
    """The cosine schedule of Nichol & Dhariwal 2021, eq. 17. t: in [0, 1] -> abar in [0, 1]."""
    return (torch.cos((t + s) / (1 + s) * math.pi / 2) ** 2 / math.cos(s / (1 + s) * math.pi / 2) ** 2).clamp(0, 1)


def linear_abar(t: Tensor) -> Tensor:
    """The linear-beta schedule of Ho et al. 2020 in its continuous limit: beta from 0.1 to 20 over t in [0, 1]."""
    return torch.exp(-0.1 * t - 0.5 * (20.0 - 0.1) * t**2)


SCHEDULES: dict[str, Callable[[Tensor], Tensor]] = {"inverted": inverted_abar, "cosine": cosine_abar, "linear": linear_abar}


@lru_cache
def schedule_table(name: str, num_timesteps: int) -> Tensor:
    """abar at i / T for i in 0 .. T: (T + 1,) float64. Not to be changed: all who ask share it."""
    t = torch.arange(num_timesteps + 1, dtype=torch.float64, device="cpu") / num_timesteps
    # Entries below the floor are lifted to a strictly falling tail, so that log-SNR can be inverted.
    return torch.maximum(SCHEDULES[name](t), ABAR_FLOOR * (1 + 1e-3 * t.flip(0)))


class Schedule(nn.Module):
    """The table abar_0 = 1 > abar_1 > ... > abar_T >= ABAR_FLOOR, abar_i being the schedule at t = i / T."""

    alphas_cumprod: Tensor

    def __init__(self, name: str, num_timesteps: int) -> None:
        super().__init__()
        one_of("schedule", name, SCHEDULES)
        self.num_timesteps = whole_number("num_timesteps", num_timesteps, 2)
        self.register_buffer("alphas_cumprod", schedule_table(name, num_timesteps).clone(), persistent=False)

    def abar(self, t: Tensor, like: Tensor) -> Tensor:
        """abar at the indices t: (B,) in 0 .. T, shaped to broadcast over `like` (B, ...), in float64 for exact coefficients."""
        return self.alphas_cumprod[t].view(-1, *[1] * (like.ndim - 1))

    def add_noise(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """x_t from x_0 and noise, both (B, C, H, W), at t: (B,) in 0 .. T."""
        abar = self.abar(t, x_0)
        return abar.sqrt().to(x_0.dtype) * x_0 + (1 - abar).sqrt().to(x_0.dtype) * eps

    def sampling_times(self, steps: int, spacing: str = "logsnr") -> list[int]:
        """Table indices to sample at, from T to 0, as `soda.common.timesteps` chooses them. Raises ValueError as it does."""
        return sampling_times(self.alphas_cumprod.cpu().numpy(), steps, spacing)


def draw_times(count: int, num_timesteps: int, power: float, generator: torch.Generator) -> Tensor:
    """Times to train at: T (1 - u^power) of uniform u, (count,) int64 in 1 .. T.

    A power above 1 draws more of the high noise, T^(-1 / power) of all draws at T itself.
    """
    if power == 1.0:
        return torch.randint(1, num_timesteps + 1, (count,), generator=generator)
    u = torch.rand(count, generator=generator)
    return (num_timesteps * (1 - u**power)).ceil().long().clamp(1, num_timesteps)


def draw_times_in_logsnr(
    count: int, alphas_cumprod: Tensor, *, mean: float, std: float, floor_share: float, generator: torch.Generator
) -> Tensor:
    """Times to train at, (count,) int64 in 1 .. T: T itself with probability floor_share; else log-SNR from N(mean, std^2), cut
    off at the ends of the table (T + 1,), and the entry nearest to it. No other entry on the floor is drawn."""
    off_floor = max(1, first_on_floor(alphas_cumprod.numpy()) - 1)
    logsnr = alphas_cumprod[1 : off_floor + 1].logit()  # falling
    low, high = (torch.special.ndtr((end - mean) / std) for end in (logsnr[-1], logsnr[0]))
    u = torch.rand(2, count, generator=generator, dtype=torch.float64)
    drawn = mean + std * torch.special.ndtri(low + u[0] * (high - low))
    if high - low < 1e-9:  # all of the table lies in one tail: its nearer end is drawn
        drawn = torch.full_like(drawn, mean)
    between = (logsnr[:-1] + logsnr[1:]) / 2  # falling; a draw above the first of them belongs to entry 1
    t = torch.searchsorted(-between, -drawn) + 1
    return torch.where(u[1] < floor_share, len(alphas_cumprod) - 1, t)
