"""What a network is told of cameras: a map of rays at its input, and the camera as a whole beside the time embedding.

A batch of cameras is (B, 16) in the order of cameras.COLUMNS; a row of zeros, or None for all, is a camera that is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from soda.config import CamerasConfig
from soda.geometry.rays import encode_poses, pose_numbers, ray_channels, ray_maps
from soda.model.batch import ViewBatch


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

    def __getitem__(self, rows: slice | Tensor) -> Context:
        """Some of the rows, in any order."""
        return Context(self.tokens[rows], self.shown[rows])

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
            rays = torch.where(known(cameras)[:, None, None, None], maps, 0.0)  # not *: the rays of no camera are NaN
            # Rounded last of all, once encoded: a finer octave still tells the directions of a pixel apart in bf16.
            rays = rays.to(h.dtype)
        return torch.cat((h, rays), dim=1)


class PoseEmbedding(nn.Module):
    """A camera as a whole -> (B, dim), zeros where it is unknown."""

    def __init__(self, dim: int, settings: CamerasConfig) -> None:
        super().__init__()
        self.octaves = settings.octaves
        self.mlp = nn.Sequential(nn.Linear(pose_numbers(settings.octaves), dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, cameras: Tensor) -> Tensor:
        return self.mlp(encode_poses(cameras.float(), self.octaves)) * known(cameras)[:, None]


def mask_cameras(batch: ViewBatch, settings: CamerasConfig, generator: torch.Generator) -> ViewBatch:
    """The batch with cameras masked at random for training: all sources of a pair together, the target independently."""
    if batch.source_cameras is None or batch.target_cameras is None:
        return batch
    drawn = torch.rand(len(batch), 2, generator=generator).to(batch.target_cameras)
    sources = batch.source_cameras * (drawn[:, :1, None] >= settings.source_drop)
    target = batch.target_cameras * (drawn[:, 1:] >= settings.target_drop)
    return replace(batch, source_cameras=sources, target_cameras=target)
