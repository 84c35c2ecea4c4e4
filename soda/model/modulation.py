"""Layer modulation and layer masking (paper, section 3): how the sections of z reach the layers of the U-Net."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from soda.common.errors import InputError
from soda.config import ModelConfig


def group_count(channels: int) -> int:
    """Groups of GroupNorm: 8 or fewer, so that a group has several channels also in narrow networks."""
    return next(g for g in (8, 4, 2, 1) if channels % g == 0)


def cut_sections(z: Tensor, sections: int) -> Tensor:
    """(B, D) -> (B, sections, D / sections). Raises ValueError when D is not a multiple of `sections`."""
    if z.shape[1] % sections:
        raise InputError(f"a latent of {z.shape[1]} cannot be cut in {sections} equal sections")
    return z.view(z.shape[0], sections, -1)


def mask_sections(z: Tensor, keep: Tensor) -> Tensor:
    """Zero the sections whose entry in `keep` (B, sections) is 0; entries between 0 and 1 fade. (B, D) -> (B, D)."""
    return (cut_sections(z, keep.shape[1]) * keep[:, :, None]).flatten(1)


def draw_keep(batch: int, settings: ModelConfig, generator: torch.Generator, device: torch.device | str = "cpu") -> Tensor:
    """A random mask for training: each section dropped on its own, and all of them together. (batch, sections) of 0 and 1."""
    # Without layer modulation sections need not divide z: it is then dropped whole or not at all.
    sections = settings.sections if settings.latent_dim % settings.sections == 0 else 1
    draws = torch.rand(batch, sections + 1, generator=generator, device=generator.device).to(device)
    return ((draws[:, :-1] >= settings.section_drop) & (draws[:, -1:] >= settings.latent_drop)).float()


class Modulation(nn.Module):
    """AdaGN: h <- z_s * (t_s * GroupNorm(h) + t_b) + z_b, with (t_s, t_b) linear in the time and (z_s, z_b) in the section of z.

    Scales enter as 1 + s and everything starts at zero, so that the layer begins as a plain GroupNorm.
    """

    def __init__(self, channels: int, settings: ModelConfig) -> None:
        super().__init__()
        self.groups = group_count(channels)
        self.from_time = nn.Linear(settings.time_dim, 2 * channels)
        self.from_latent = nn.Linear(settings.section_dim, 2 * channels)
        for linear in (self.from_time, self.from_latent):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, h: Tensor, time: Tensor, section: Tensor) -> Tensor:
        """h: (B, C, H, W); time: (B, time_dim); section: (B, section_dim) -> (B, C, H, W)."""
        t_scale, t_shift = self.from_time(time).chunk(2, dim=1)
        z_scale, z_shift = self.from_latent(section).chunk(2, dim=1)
        # The two affine maps are composed on (B, C) first: one pass over the pixels in place of two.
        scale = (1 + z_scale) * (1 + t_scale)
        shift = (1 + z_scale) * t_shift + z_shift
        return torch.addcmul(shift[:, :, None, None], F.group_norm(h, self.groups), scale[:, :, None, None])
