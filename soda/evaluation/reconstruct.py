"""Images drawn again: from z alone, and exactly, from z and the inverted x_T; and how near they come for so many evaluations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from soda.common.images import to_float, to_uint8
from soda.diffusion.inversion import ROUNDS
from soda.evaluation.image_metrics import ImageJudge
from soda.inference.drawer import Drawer, Sampling
from soda.model.network import SodaNetwork


def reconstruct(drawer: Drawer, z: Tensor, *, seed: int, sample: int = 0, steps: int | None = None) -> np.ndarray:
    """Draw an image from every z (N, D) with the model's own sampler, from noise that (seed, sample) decides.

    No inversion: nothing of the original but z enters. Returns (N, S, S, C) uint8.
    """
    return to_uint8(drawer.draw(z, sampling=Sampling(seed, steps, sample=sample), label="reconstruct"))


@dataclass(frozen=True)
class Cost:
    """Means over images at one number of evaluations.

    fid_like is against other real images than the originals; nan where there are none, or too few to have a covariance.
    """

    evaluations: int  # of the denoiser, for one image
    psnr: float  # dB
    ssim: float
    lpips_like: float
    fid_like: float


def _judge(judge: ImageJudge, drawn: np.ndarray, originals: np.ndarray, evaluations: int, real: np.ndarray | None = None) -> Cost:
    fid = float("nan") if real is None or len(real) < 2 else judge.fid_like(drawn[: len(real)], real)
    return Cost(evaluations, **judge.nearness(drawn, originals).means(), fid_like=fid)


def evaluations_a_step(model: SodaNetwork) -> int:
    """Of the denoiser, with the model's own guidance: guided, it is asked with z and without."""
    return 1 if model.diffusion.guidance_scale == 1.0 else 2


def stochastic_cost(
    drawer: Drawer,
    z: Tensor,
    originals: np.ndarray,
    judge: ImageJudge,
    evaluations: tuple[int, ...],
    *,
    seed: int,
    real: np.ndarray | None = None,
) -> dict[int, Cost]:
    """evaluations -> measures of images drawn from z (N, D) alone, with the model's own sampler and guidance and always from
    the same noise, in as many steps as so many evaluations allow.

    originals: (N, S, S, C) uint8; real: (M, S, S, C) uint8, M at most N, for fid_like: images of the
    same kind, none of them among the first M originals.
    """
    a_step, found = evaluations_a_step(drawer.network), {}
    for asked in evaluations:
        count = max(1, asked // a_step)
        found[asked] = _judge(judge, reconstruct(drawer, z, seed=seed, steps=count), originals, count * a_step, real)
    return found


def exact_cost(drawer: Drawer, z: Tensor, originals: np.ndarray, judge: ImageJudge, steps: tuple[int, ...]) -> dict[int, Cost]:
    """steps -> measures of images inverted and drawn again (DDIM, eta 0, nothing clipped) in so many steps each way.

    As `soda.inference.soda.SODA.reconstruct(exact=True)` does it, with the model's own guidance.
    """
    images, found = to_float(originals), {}
    for count in steps:
        sampling = Sampling(steps=count)
        drawn = to_uint8(drawer.draw(z, drawer.invert(images, z, sampling), sampling, exact=True))
        found[count] = _judge(judge, drawn, originals, count * (1 + ROUNDS) * evaluations_a_step(drawer.network))
    return found
