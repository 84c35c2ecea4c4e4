"""The denoiser: a symmetric U-Net of 2m + 1 modulated blocks h_0 .. h_2m.

Section z_i governs the pair (h_i, h_2m-i), z_m the middle (paper, section 3).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from soda.config import ModelConfig
from soda.model.blocks import Attention, Downsample, ResBlock, TimeEmbedding, Upsample, ViewAttention
from soda.model.conditions import Context, PoseEmbedding, RayInput
from soda.model.modulation import cut_sections, group_count


class UNet(nn.Module):
    """Predicts from x_t, t and z. A map of rays joins x_t at the input where the settings say so."""

    def __init__(self, settings: ModelConfig, *, channels: int, context_channels: int = 0) -> None:
        """channels: of the images; context_channels: of the tokens of source views, for `view_attention`."""
        super().__init__()
        cameras, patch_channels = settings.cameras, channels * settings.patch_size**2
        self.rays = RayInput(patch_channels, cameras) if cameras.rays else None
        self.pose = PoseEmbedding(settings.time_dim, cameras) if cameras.pose else None
        widths = [settings.channels * mult for mult in settings.channel_mult]
        self.patch_size = settings.patch_size
        self.sections, self.layer_modulation = settings.sections, settings.layer_modulation

        def attention(level: int) -> nn.Module:
            return Attention(widths[level], settings) if level in settings.attention_levels else nn.Identity()

        def view_attention(level: int) -> nn.Module | None:
            seeing = level in cameras.view_attention
            return ViewAttention(widths[level], context_channels, settings) if seeing else None

        self.time = TimeEmbedding(settings.time_dim)
        self.conv_in = nn.Conv2d(patch_channels if self.rays is None else self.rays.out_channels, widths[0], 3, padding=1)
        # One entry a modulated block, down and up in mirror order: up[i] is the partner of down[i].
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.down_attention, self.up_attention = nn.ModuleList(), nn.ModuleList()
        self.down_views, self.up_views = nn.ModuleDict(), nn.ModuleDict()  # keyed by the index of the block
        self.downsample, self.upsample = nn.ModuleDict(), nn.ModuleDict()  # keyed by the index of the block before / after
        for level, width in enumerate(widths):
            for _ in range(settings.blocks_per_level):
                self.down.append(ResBlock(width, width, settings))
                self.up.append(ResBlock(2 * width, width, settings))
                self.down_attention.append(attention(level))
                self.up_attention.append(attention(level))
                for views in (self.down_views, self.up_views):
                    if (seeing := view_attention(level)) is not None:
                        views[str(len(self.down) - 1)] = seeing
            if level + 1 < len(widths):
                last = str(len(self.down) - 1)
                self.downsample[last] = Downsample(width, widths[level + 1])
                self.upsample[last] = Upsample(widths[level + 1], width)
        self.middle = ResBlock(widths[-1], widths[-1], settings)
        self.middle_attention = attention(len(widths) - 1)
        self.middle_views = view_attention(len(widths) - 1)
        self.norm_out = nn.GroupNorm(group_count(widths[0]), widths[0])
        self.conv_out = nn.Conv2d(widths[0], patch_channels, 3, padding=1)
        self._init_weights()

    def _init_weights(self) -> None:
        """Truncated normal of variance 1 / fan_in, biases at zero; the output begins at zero, the modulations did so already."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d) or (isinstance(module, nn.Linear) and module.weight.any()):
                nn.init.trunc_normal_(module.weight, std=module.weight[0].numel() ** -0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.zeros_(self.conv_out.weight)

    def forward(self, x_t: Tensor, t: Tensor, z: Tensor, cameras: Tensor | None = None, context: Context | None = None) -> Tensor:
        """x_t: (B, C_in, H, W); t: (B,) in [0, 1]; z: (B, D), its sections masked or not -> (B, C_out, H, W).

        cameras: (B, 16), that of the view that is drawn; None, or a row of zeros: it is not known. context: of the source views,
        of a network with view attention; None: none is seen.
        """
        tokens, shown = (None, None) if context is None else (context.tokens, context.shown)
        time = self.time(t)
        if self.pose is not None and cameras is not None:
            time = time + self.pose(cameras)
        h = F.pixel_unshuffle(x_t, self.patch_size)
        if self.rays is not None:
            h = self.rays(h, cameras)  # rays through the centres of the patches
        if self.layer_modulation:
            sections = list(cut_sections(z, self.sections).unbind(1))
        else:
            sections = [z] * self.sections
        h = self.conv_in(h)  # (B, width, H / patch, W / patch)
        skips = []
        for i, (block, attention) in enumerate(zip(self.down, self.down_attention, strict=True)):
            h = attention(block(h, time, sections[i]))
            if str(i) in self.down_views:
                h = self.down_views[str(i)](h, tokens, shown)
            skips.append(h)
            if str(i) in self.downsample:
                h = self.downsample[str(i)](h)
        h = self.middle_attention(self.middle(h, time, sections[-1]))
        if self.middle_views is not None:
            h = self.middle_views(h, tokens, shown)
        for i in reversed(range(len(self.up))):
            if str(i) in self.upsample:
                h = self.upsample[str(i)](h)
            h = self.up_attention[i](self.up[i](torch.cat([h, skips[i]], dim=1), time, sections[i]))
            if str(i) in self.up_views:
                h = self.up_views[str(i)](h, tokens, shown)
        return F.pixel_shuffle(self.conv_out(F.silu(self.norm_out(h))), self.patch_size)
