"""Parts of the U-Net: time embedding, modulated residual block, attention, resampling."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from soda.config import ModelConfig
from soda.model.modulation import Modulation, group_count


def sinusoids(t: Tensor, dim: int) -> Tensor:
    """t: (B,) in 0 .. 1000 -> (B, dim), cos and sin at frequencies from 1 down to 1 / 10,000."""
    frequencies = torch.exp(-math.log(10_000) * torch.arange(dim // 2, device=t.device) / (dim // 2))
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class TimeEmbedding(nn.Module):
    """t in [0, 1] -> (B, dim). The sinusoids see t * 1000: with t itself they would be nearly constant."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim), nn.SiLU())

    def forward(self, t: Tensor) -> Tensor:
        return self.mlp(sinusoids(t * 1000, self.dim))


class ResBlock(nn.Module):
    """Residual block with one modulated layer; the sum is rescaled by 1 / sqrt(2)."""

    def __init__(self, in_channels: int, out_channels: int, settings: ModelConfig) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(group_count(in_channels), in_channels)
        self.conv_in = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.modulation = Modulation(out_channels, settings)
        self.dropout = nn.Dropout(settings.dropout)
        self.conv_out = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, time: Tensor, section: Tensor) -> Tensor:
        h = self.conv_in(F.silu(self.norm(x)))  # (B, out, H, W)
        h = F.silu(self.modulation(h, time, section))
        return (self.skip(x) + self.conv_out(self.dropout(h))) * math.sqrt(0.5)


class Attention(nn.Module):
    """Multi-head self-attention over the pixels of one picture, as a residual."""

    def __init__(self, channels: int, settings: ModelConfig) -> None:
        super().__init__()
        self.heads = channels // settings.head_dim
        self.norm = nn.GroupNorm(group_count(channels), channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape
        qkv = self.qkv(self.norm(x)).reshape(B, 3, self.heads, C // self.heads, H * W)
        q, k, v = qkv.transpose(3, 4).unbind(1)  # each (B, heads, H W, head_dim)
        h = F.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(B, C, H, W)
        return (x + self.out(h)) * math.sqrt(0.5)


class ViewAttention(nn.Module):
    """Multi-head attention from the pixels of a picture to the tokens of source views, as a residual. A token of its own, always
    shown, stands for no view."""

    def __init__(self, channels: int, context_channels: int, settings: ModelConfig) -> None:
        super().__init__()
        self.heads = channels // settings.head_dim
        self.norm = nn.GroupNorm(group_count(channels), channels)
        self.norm_context = nn.LayerNorm(context_channels)
        self.none = nn.Parameter(torch.zeros(context_channels))
        self.q = nn.Conv2d(channels, channels, 1)
        self.kv = nn.Linear(context_channels, 2 * channels)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, tokens: Tensor | None, shown: Tensor | None) -> Tensor:
        """x: (B, C, H, W); tokens: (B, N, context_channels) or None; shown: (B, N) of booleans -> (B, C, H, W)."""
        B, C, H, W = x.shape
        context = self.none.expand(B, 1, -1)
        mask = None
        if tokens is not None and shown is not None:
            context = torch.cat((context, self.norm_context(tokens)), dim=1)
            mask = F.pad(shown, (1, 0), value=True)[:, None, None, :]  # (B, 1, 1, 1 + N)
        q = self.q(self.norm(x)).reshape(B, self.heads, C // self.heads, H * W).transpose(2, 3)
        k, v = self.kv(context).reshape(B, -1, 2, self.heads, C // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(2, 3).reshape(B, C, H, W)
        return (x + self.out(h)) * math.sqrt(0.5)


class Downsample(nn.Module):
    """Halve the side by a strided convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Upsample(nn.Module):
    """Double the side: a 1x1 convolution at the coarse size, where it is cheap, then nearest neighbours."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.conv(x), scale_factor=2.0, mode="nearest")
