"""What a network is told of cameras: a map of rays at its input, and the camera as a whole beside the time embedding.

A batch of cameras is (B, 16) in the order of cameras.COLUMNS; a row of zeros, or None for all, is a camera that is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from soda.config import CamerasConfig
from soda.geometry.cameras import NUMBERS
from soda.geometry.rays import encode_poses, pose_numbers, ray_channels, ray_maps


def known(cameras: Tensor) -> Tensor:
    """Which cameras are known: (B, 16) -> (B,) of booleans. No camera has a focal length of 0."""
    return cameras[:, 0] > 0


@dataclass(frozen=True)
class Context:
    """What a denoiser attends to of the source views: tokens (B, N, C), of which those `shown`, (B, N) of booleans."""

    tokens: Tensor
    shown: Tensor

    @staticmethod
    def cat(parts: Sequence[Context]) -> Context:
        return Context(torch.cat([each.tokens for each in parts]), torch.cat([each.shown for each in parts]))

    def where(self, kept: Tensor) -> Context:
        """The same, with nothing shown of the rows whose entry in `kept` (B,) is False."""
        return Context(self.tokens, self.shown & kept[:, None])

    def split(self, size: int) -> list[Context]:
        """Blocks of at most `size` rows."""
        return [Context(*both) for both in zip(self.tokens.split(size), self.shown.split(size), strict=True)]

    def roll(self, rows: int) -> Context:
        return Context(self.tokens.roll(rows, 0), self.shown.roll(rows, 0))

    def expand(self, rows: int) -> Context:
        """One row as `rows` equal ones."""
        return Context(self.tokens.expand(rows, -1, -1), self.shown.expand(rows, -1))

    def to(self, device: torch.device) -> Context:
        return Context(self.tokens.to(device), self.shown.to(device))


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


def mask_cameras(cameras: Tensor, settings: CamerasConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cameras of the views of pairs, (B, V, 16), source, target and then further sources, masked at random for training.

    All sources of a pair are masked together, the target independently.
    """
    if cameras.ndim != 3 or cameras.shape[1] < 2 or cameras.shape[2] != NUMBERS:
        raise ValueError(f"the cameras of pairs are (B, 2 or more, {NUMBERS}), not {tuple(cameras.shape)}")
    drop = torch.tensor([settings.source_drop, settings.target_drop])
    keep = (torch.rand(len(cameras), 2, generator=generator) >= drop).to(cameras)
    source, target, *further = cameras.unbind(1)
    sources = torch.stack((source, *further), 1) * keep[:, 0, None, None]  # (B, V - 1, 16)
    return sources if further else sources[:, 0], target * keep[:, 1, None]
