"""Ray grids: origin and direction for each pixel, and their sinusoidal encoding, in the convention of cameras.py.

A batch of cameras is a tensor (B, 16) in the order of `cameras.COLUMNS`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from soda.geometry.cameras import NUMBERS

RAY = 6  # numbers of a ray: origin and unit direction
POSE = 12


def split_cameras(cameras: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, 16) -> intrinsics (B, 4), rotations (B, 3, 3) from camera to world, places (B, 3). Raises ValueError."""
    if cameras.ndim != 2 or cameras.shape[1] != NUMBERS:
        raise ValueError(f"cameras are (B, {NUMBERS}), not {tuple(cameras.shape)}")
    pose = cameras[:, 4:].reshape(-1, 3, 4)
    return cameras[:, :4], pose[:, :, :3], pose[:, :, 3]


def ray_grid(cameras: Tensor, size: int) -> Tensor:
    """The ray through the centre of each pixel: (B, 16) -> (B, 6, size, size), origin then unit direction, in the world.

    In the cameras' own precision, autocast or not: bf16 would move a direction by a good part of a pixel.
    """
    intrinsics, rotation, place = split_cameras(cameras)
    centres = (torch.arange(size, device=cameras.device, dtype=cameras.dtype) + 0.5) / size
    v, u = torch.meshgrid(centres, centres, indexing="ij")  # (S, S)
    fx, fy, cx, cy = (value[:, None, None] for value in intrinsics.unbind(1))
    local = torch.stack(((u - cx) / fx, (v - cy) / fy, torch.ones_like(u).expand(len(cameras), -1, -1)), dim=1)  # (B, 3, S, S)
    with torch.autocast(cameras.device.type, enabled=False):
        directions = torch.einsum("bij,bjhw->bihw", rotation, local)
        directions = directions / directions.norm(dim=1, keepdim=True)
    return torch.cat((place[:, :, None, None].expand_as(directions), directions), dim=1)


def encode(values: Tensor, octaves: int) -> Tensor:
    """Sinusoidal encoding of the last dimension (Mildenhall et al. 2020, eq. 4, without the factor pi, beside the values).

    (..., C) -> (..., C * (1 + 2 * octaves)): the values, then sin and cos of 2^k times the values, k from 0 up.
    """
    parts, sin, cos = [values], values.sin(), values.cos()
    for k in range(octaves):
        if k:  # the double angle: far cheaper over a map of rays than another sine
            sin, cos = 2 * sin * cos, 1 - 2 * sin.square()
        parts += [sin, cos]
    return torch.cat(parts, dim=-1)


def ray_channels(octaves: int) -> int:
    """Channels of an encoded ray map."""
    return RAY * (1 + 2 * octaves)


def ray_maps(cameras: Tensor, size: int, octaves: int) -> Tensor:
    """Encoded ray grids, origins then directions: (B, 16) -> (B, ray_channels(octaves), size, size), channels_last."""
    rays = ray_grid(cameras, size).permute(0, 2, 3, 1)  # (B, S, S, 6)
    origins = encode(rays[:, :1, :1, :3], octaves).expand(-1, size, size, -1)  # one a camera
    return torch.cat((origins, encode(rays[..., 3:], octaves)), dim=-1).permute(0, 3, 1, 2)


def pose_numbers(octaves: int) -> int:
    """Length of an encoded camera."""
    return POSE * (1 + 2 * octaves)


def encode_poses(cameras: Tensor, octaves: int) -> Tensor:
    """The camera as a whole, its pose encoded: (B, 16) -> (B, pose_numbers(octaves))."""
    return encode(cameras[:, 4:], octaves)
