"""How smoothly images change along an interpolation between two latents: perceptual path length."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from soda.common.errors import InputError
from soda.evaluation.image_metrics import FixedNetwork, feature_distance
from soda.inference.interpolation import slerp

EPSILON = 1e-2
"""Length of the step, as a share of the way. Karras et al. 2019 take 1e-4; a few-step sampler in float32 needs a longer one."""

DrawFloat = Callable[[Tensor], Tensor]
"""Images (N, C, S, S) in [-1, 1] from z (N, D): the n-th always from the same noise."""


def _spherical(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Row by row on the sphere from a to b (N, D), t: (N, 1) -> (N, D)."""
    return torch.cat([slerp(start, end, share) for start, end, share in zip(a, b, t, strict=True)])


def _straight(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Row by row on the straight line from a to b (N, ...), t: (N, 1) -> (N, ...)."""
    return torch.lerp(a, b, t.view(-1, *[1] * (a.ndim - 1)))


@torch.no_grad()
def path_length(z: Tensor, originals: Tensor, draw: DrawFloat, network: FixedNetwork, *, seed: int) -> dict[str, float]:
    """Perceptual path length (Karras et al. 2019, eq. 2) of interpolations from each latent of z (N, D) to the next, in a ring.

    For each one place t in [0, 1 - EPSILON], the images at t and t + EPSILON from the same noise, and their LPIPS-like
    distance by `network` over EPSILON^2. originals: (N, C, S, S) in [-1, 1], the images of z. Less is smoother; values compare
    only for the same network. Returns the means of z on the straight line (path_length), of z on the sphere, and of a cross-fade
    of the images. Raises ValueError for fewer than two latents.
    """
    if len(z) < 2:
        raise InputError(f"an interpolation takes two images, not {len(z)}")
    t = torch.from_numpy(np.random.default_rng(seed).uniform(0, 1 - EPSILON, (len(z), 1))).float()

    def length(images_at: Callable[[Tensor], Tensor]) -> float:
        here, there = images_at(t), images_at(t + EPSILON)
        parts = [
            feature_distance(network(a)[1], network(b)[1]).cpu() for a, b in zip(here.split(100), there.split(100), strict=True)
        ]
        return float(torch.cat(parts).double().mean() / EPSILON**2)

    after = z.roll(-1, 0)
    return {
        "path_length": length(lambda s: draw(_straight(z, after, s))),
        "path_length_spherical": length(lambda s: draw(_spherical(z, after, s))),
        "path_length_crossfade": length(lambda s: _straight(originals, originals.roll(-1, 0), s)),
    }
