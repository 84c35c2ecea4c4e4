"""Interpolation from one latent to the next: straight, on the sphere, and round a ring of several."""

from __future__ import annotations

import torch
from torch import Tensor

from soda.common.checks import one_of, whole_number
from soda.common.errors import InputError

MODES = ("linear", "spherical")


def lerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Straight from start to end. start, end: (...); share: (F,) in [0, 1] -> (F, ...)."""
    share = share.view(-1, *[1] * start.ndim)
    return start + share * (end - start)


def slerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Round the origin at an even angular speed (Shoemake 1985), the length changing evenly from one to the other.

    start, end: (...), each taken as one vector; share: (F,) in [0, 1] -> (F, ...). Vectors of one line, or without a length, have
    no arc between them: the way is then straight.
    """
    a, b = start.flatten().double(), end.flatten().double()
    norm_a, norm_b = a.norm(), b.norm()
    if norm_a == 0 or norm_b == 0:
        return lerp(start, end, share)
    angle = torch.arccos((a @ b / (norm_a * norm_b)).clamp(-1, 1))
    if torch.sin(angle) < 1e-6:
        return lerp(start, end, share)
    s = share.double()[:, None]
    unit = (torch.sin((1 - s) * angle) * a / norm_a + torch.sin(s * angle) * b / norm_b) / torch.sin(angle)
    return (unit * ((1 - s) * norm_a + s * norm_b)).view(-1, *start.shape).to(start.dtype)


def interpolate(points: Tensor, frames: int, *, mode: str = "linear", ring: bool = False) -> Tensor:
    """`frames` steps from every point to the next, each point met once.

    points: (K, ...), at least 2. Without `ring` the last point ends it: ((K - 1) * frames + 1, ...). With it the last leads on to
    the first, which is not repeated, so that it loops: (K * frames, ...). Raises ValueError for fewer than 2 points, no frames or
    an unknown mode.
    """
    one_of("mode", mode, MODES)
    whole_number("frames", frames, 1)
    if len(points) < 2:
        raise InputError(f"interpolation takes two images or more, not {len(points)}")
    between = slerp if mode == "spherical" else lerp
    share = torch.arange(frames, dtype=points.dtype, device=points.device) / frames
    ends = torch.roll(points, -1, 0)
    parts = [between(points[k], ends[k], share) for k in range(len(points) if ring else len(points) - 1)]
    return torch.cat(parts if ring else [*parts, points[-1:]])
