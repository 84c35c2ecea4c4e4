"""How smoothly images change along an interpolation between two latents, and whether what lies between is an image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from soda.common.errors import InputError
from soda.evaluation.image_metrics import FixedNetwork, feature_distance, frechet_distance
from soda.inference.interpolation import slerp

EPSILON = 1e-2
"""Length of the step, as a share of the way. Karras et al. 2019 take 1e-4; a few-step sampler in float32 needs a longer one."""

DETOURS = 50  # walks whose ends are drawn, too

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
    of the images.

    A cross-fade is no bar to be passed. It is the straight line between two images: of all ways from one to the other it has the
    least squared speed in pixels, whatever lies between (Cauchy and Schwarz), and features follow pixels. detour says how far
    the walk's own squared speed is above that least, which a fade has exactly: over DETOURS walks, between their own ends.
    Raises ValueError for fewer than two latents.
    """
    if len(z) < 2:
        raise InputError(f"an interpolation takes two images, not {len(z)}")
    t = torch.from_numpy(np.random.default_rng(seed).uniform(0, 1 - EPSILON, (len(z), 1))).float()
    after = z.roll(-1, 0)

    def length(here: Tensor, there: Tensor) -> float:
        parts = [
            feature_distance(network(a)[1], network(b)[1]).cpu() for a, b in zip(here.split(100), there.split(100), strict=True)
        ]
        return float(torch.cat(parts).double().mean() / EPSILON**2)

    def both(images_at: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        return images_at(t), images_at(t + EPSILON)

    straight = both(lambda s: draw(_straight(z, after, s)))
    few = slice(0, DETOURS)
    least = _speed(draw(z[few]), draw(after[few]), 1.0)
    return {
        "path_length": length(*straight),
        "path_length_spherical": length(*both(lambda s: draw(_spherical(z, after, s)))),
        "path_length_crossfade": length(*both(lambda s: _straight(originals, originals.roll(-1, 0), s))),
        **({"detour": _speed(straight[0][few], straight[1][few], EPSILON) / least} if least else {}),
    }


@torch.no_grad()
def half_way(
    z: Tensor, originals: Tensor, real: Tensor, draw: DrawFloat, describe: Callable[[Tensor], np.ndarray]
) -> dict[str, float]:
    """Frechet distances of images half-way between each latent of z (N, D) and the next, and of half-way fades, to real images.

    What path length does not see: half of a fade is a double exposure. originals: (N, C, S, S) in [-1, 1], the images of z;
    real: (M, C, S, S), others of their kind; describe: features (B, D) of images. half_way_real is that of the originals
    themselves, for scale. Compare within one call: small sets overestimate the distance, all of them alike.
    """
    sets = {
        "half_way": draw(torch.lerp(z, z.roll(-1, 0), 0.5)),
        "half_way_crossfade": torch.lerp(originals, originals.roll(-1, 0), 0.5),
        "half_way_real": originals,
    }
    features = describe(real)
    return {name: frechet_distance(describe(images), features) for name, images in sets.items()}


def _speed(here: Tensor, there: Tensor, apart: float) -> float:
    """Mean squared speed in pixels between two images of each way, `apart` of the way from one another."""
    return float((here - there).double().square().mean() / apart**2)
