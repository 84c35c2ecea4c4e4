"""What a network is told of cameras: a map of rays at its input, and the camera as a whole beside the time embedding.

A batch of cameras is (B, 16) in the order of cameras.COLUMNS; a row of zeros, or None for all, is a camera that is not known.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soda.cameras import NUMBERS
from soda.config import CamerasConfig
from soda.rays import encode_poses, pose_numbers, ray_channels, ray_maps


def known(cameras: Tensor) -> Tensor:
    """Which cameras are known: (B, 16) -> (B,) of booleans. No camera has a focal length of 0."""
    return cameras[:, 0] > 0


class RayInput(nn.Module):
    """A picture's channels through a linear map, joined with its encoded ray map (paper, section 3): zeros if unknown."""

    def __init__(self, channels: int, settings: CamerasConfig) -> None:
        super().__init__()
        self.octaves = settings.octaves
        self.rgb = nn.Conv2d(channels, settings.rgb_channels, 1)
        self.out_channels = settings.rgb_channels + ray_channels(settings.octaves)

    def forward(self, images: Tensor, cameras: Tensor | None = None) -> Tensor:
        """images: (B, C, S, S); cameras: (B, 16) or None -> (B, out_channels, S, S)."""
        h = self.rgb(images)
        if cameras is None:
            rays = h.new_zeros(len(h), ray_channels(self.octaves), *h.shape[2:])
        else:
            maps = ray_maps(cameras.float(), images.shape[-1], self.octaves)
            rays = torch.where(known(cameras)[:, None, None, None], maps, 0.0).to(h.dtype)  # not *: the rays of no camera are NaN
        return torch.cat((h, rays), dim=1)


class PoseEmbedding(nn.Module):
    """A camera as a whole -> (B, dim), zeros where it is unknown."""

    def __init__(self, dim: int, settings: CamerasConfig) -> None:
        super().__init__()
        self.octaves = settings.octaves
        self.mlp = nn.Sequential(nn.Linear(pose_numbers(settings.octaves), dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, cameras: Tensor) -> Tensor:
        return self.mlp(encode_poses(cameras.float(), self.octaves)) * known(cameras)[:, None]


class PosedEncoder(nn.Module):
    """An encoder that also sees a ray map. Without cameras it sees an unposed picture, as it learnt to in training."""

    def __init__(self, rays: RayInput, encoder: nn.Module) -> None:
        super().__init__()
        self.rays, self.encoder = rays, encoder

    def forward(self, images: Tensor, cameras: Tensor | None = None) -> Tensor:
        """images: (B, C, S, S) in [-1, 1]; cameras: (B, 16) or None -> z: (B, D)."""
        return self.encoder(self.rays(images, cameras))


def mask_cameras(cameras: Tensor, settings: CamerasConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cameras of the two views, (B, 2, 16), for training: (source, target), each (B, 16), rows of either masked at random."""
    if cameras.ndim != 3 or cameras.shape[1:] != (2, NUMBERS):
        raise ValueError(f"the cameras of pairs are (B, 2, {NUMBERS}), not {tuple(cameras.shape)}")
    drop = torch.tensor([settings.source_drop, settings.target_drop])
    keep = (torch.rand(len(cameras), 2, generator=generator) >= drop).to(cameras)
    source, target = (cameras * keep[:, :, None]).unbind(1)
    return source, target
