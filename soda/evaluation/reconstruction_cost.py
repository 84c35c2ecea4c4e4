"""Reconstruction against the number of denoiser evaluations: from z alone, and exact, from z and the inverted x_T."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from soda.common.images import to_float, to_uint8
from soda.diffusion.inversion import ROUNDS
from soda.evaluation.reconstruct import Judge
from soda.inference.drawer import Drawer, Sampling
from soda.model.network import SodaNetwork

EVALUATIONS = (5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Cost:
    """Means over pictures at one number of evaluations. fid_like is nan for too few pictures to have a covariance."""

    evaluations: int  # of the denoiser, for one picture
    psnr: float  # dB
    ssim: float
    lpips_like: float
    fid_like: float


def _judge(judge: Judge, drawn: np.ndarray, originals: np.ndarray, evaluations: int) -> Cost:
    near = judge.nearness(drawn, originals)
    fid = judge.fid_like(drawn, originals) if len(drawn) > 1 else float("nan")
    return Cost(evaluations, float(near.psnr.mean()), float(near.ssim.mean()), float(near.lpips_like.mean()), fid)


def evaluations_a_step(model: SodaNetwork) -> int:
    """Of the denoiser, with the model's own guidance: guided, it is asked with z and without."""
    return 1 if model.diffusion.guidance_scale == 1.0 else 2


@torch.no_grad()
def stochastic_cost(
    model: SodaNetwork, z: Tensor, originals: np.ndarray, judge: Judge, evaluations: tuple[int, ...] = EVALUATIONS, *, seed: int
) -> dict[int, Cost]:
    """evaluations -> measures of pictures drawn from z (N, D) alone, with the model's own sampler and guidance and always from
    the same noise, in as many steps as so many evaluations allow.

    originals: (N, S, S, C) uint8.
    """
    drawer, a_step = Drawer(model, batch_size=judge.batch_size), evaluations_a_step(model)
    found = {}
    for asked in evaluations:
        count = max(1, asked // a_step)
        drawn = to_uint8(drawer.draw(z, sampling=Sampling(seed, steps=count)))
        found[asked] = _judge(judge, drawn, originals, count * a_step)
    return found


def exact_cost(model: SodaNetwork, z: Tensor, originals: np.ndarray, judge: Judge, steps: tuple[int, ...]) -> dict[int, Cost]:
    """steps -> measures of pictures inverted and drawn again (DDIM, eta 0, nothing clipped) in so many steps each way.

    As `soda.inference.soda.SODA.reconstruct(exact=True)` does it, with the model's own guidance.
    """
    drawer, images = Drawer(model, batch_size=judge.batch_size, progress=False), to_float(originals)
    found = {}
    for count in steps:
        sampling = Sampling(steps=count)
        drawn = to_uint8(drawer.draw(z, drawer.invert(images, z, sampling), sampling, exact=True))
        found[count] = _judge(judge, drawn, originals, count * (1 + ROUNDS) * evaluations_a_step(model))
    return found
