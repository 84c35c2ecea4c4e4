"""Encoders: a picture of the source view -> z (B, D). ResNets with BatchNorm, which folds into the convolutions on export."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from soda.config import LITE, ModelConfig
from soda.model.conditions import RayInput
from soda.model.lite import MAP_STAGES, STAGES, LiteEncoder

LARGE_IMAGE = 64
"""px; pictures larger than this get the usual ImageNet stem under encoder_stem=auto."""

SIDE = 4
"""Places a side of the map that `tiny` makes z of."""


def _conv_bn(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out_channels)
    )


class BasicBlock(nn.Module):
    """The residual block of ResNet-18 (He et al. 2016)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv_1 = _conv_bn(in_channels, out_channels, 3, stride)
        self.conv_2 = _conv_bn(out_channels, out_channels, 3)
        same = stride == 1 and in_channels == out_channels
        self.skip: nn.Module = nn.Identity() if same else _conv_bn(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv_2(F.relu(self.conv_1(x))) + self.skip(x))


class TinyEncoder(nn.Module):
    """A narrow ResNet of three stages for the CPU. The last map is flattened, not averaged: layout counts.

    head: linear makes z of that map by a linear layer, which mixes all places; map takes the map itself, of D / 16 channels at
    4 x 4 places, so that a component is one feature at one place, and 0 or more.
    """

    def __init__(self, *, channels: int, width: int, latent_dim: int, small_stem: bool, head: str = "linear") -> None:
        super().__init__()
        stride = 2 if small_stem else 4
        self.stem = nn.Sequential(_conv_bn(channels, width, 2 * stride - 1, stride), nn.ReLU())
        self.stages = nn.Sequential(
            BasicBlock(width, width, 1), BasicBlock(width, 2 * width, 2), BasicBlock(2 * width, 4 * width, 2)
        )
        squeezed = width if head == "linear" else latent_dim // SIDE**2
        self.squeeze = nn.Sequential(_conv_bn(4 * width, squeezed, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(SIDE), nn.Flatten())
        self.head = nn.Linear(SIDE**2 * width, latent_dim) if head == "linear" else nn.Identity()

    def features(self, images: Tensor) -> Tensor:
        """images: (B, C, S, S) in [-1, 1] -> (B, F), what z is made of."""
        return self.squeeze(self.stages(self.stem(images)))

    def features_and_map(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The features, and the map (B, map_channels, h, w) of the last stage but one."""
        before = self.stages[:2](self.stem(images))
        return self.squeeze(self.stages[2](before)), before

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, C, S, S) in [-1, 1] -> (B, D)."""
        return self.head(self.features(images))


def _torchvision_resnet(name: str, channels: int, latent_dim: int, small_stem: bool) -> nn.Module:
    from torchvision.models import get_model

    net = get_model(name, weights=None, num_classes=latent_dim)
    if small_stem:
        net.conv1 = nn.Conv2d(channels, 64, 3, 1, 1, bias=False)
        net.maxpool = nn.Identity()
    elif channels != 3:
        net.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    return net


class PosedEncoder(nn.Module):
    """An encoder that also sees a ray map. Without cameras it sees an unposed picture, as it learnt to in training."""

    def __init__(self, rays: RayInput, encoder: nn.Module) -> None:
        super().__init__()
        self.rays, self.encoder = rays, encoder

    def forward(self, images: Tensor, cameras: Tensor | None = None) -> Tensor:
        """images: (B, C, S, S) in [-1, 1]; cameras: (B, 16) or None -> z: (B, D)."""
        return self.encoder(self.rays(images, cameras))

    def with_map(self, images: Tensor, cameras: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """z (B, D), and a feature map (B, map_channels, h, w) on the way there."""
        net: Any = self.encoder
        h = self.rays(images, cameras)
        if isinstance(net, (TinyEncoder, LiteEncoder)):
            features, seen = net.features_and_map(h)
            return net.head(features), seen
        features = net.layer3(net.layer2(net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(h)))))))
        return net.fc(net.avgpool(net.layer4(features)).flatten(1)), features


def last_layer(encoder: nn.Module) -> nn.Module:
    """The layer that makes z. What goes into it, (B, F), are the features before the bottleneck.

    With encoder_head=map it changes nothing: the features are z itself.
    """
    net: Any = encoder.encoder if isinstance(encoder, PosedEncoder) else encoder
    layer = net.head if isinstance(net, (TinyEncoder, LiteEncoder)) else net.fc
    assert isinstance(layer, (nn.Linear, nn.Identity))
    return layer


def encode_with_features(encoder: nn.Module, images: Tensor, cameras: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """z (B, D) as the encoder gives it, and the features (B, F) that its last layer makes it of.

    images: (B, C, S, S) in [-1, 1]; cameras: (B, 16) of an encoder with rays, or None.
    """
    net: Any = encoder
    if isinstance(encoder, PosedEncoder):
        net, images = encoder.encoder, encoder.rays(images, cameras)
    if isinstance(net, (TinyEncoder, LiteEncoder)):
        features = net.features(images)
    else:
        h = net.maxpool(net.relu(net.bn1(net.conv1(images))))
        features = net.avgpool(net.layer4(net.layer3(net.layer2(net.layer1(h))))).flatten(1)
    return last_layer(encoder)(features), features


def map_channels(model: ModelConfig) -> int:
    """Channels of the feature map that `PosedEncoder.with_map` gives of an encoder of these settings."""
    return {"tiny": 2 * model.encoder_width, "resnet18": 256, "resnet50": 1024, LITE: STAGES[MAP_STAGES - 1][3]}[model.encoder]


def _see_colours(rgb: nn.Conv2d) -> None:
    """Begin with random mixes of lightness and two differences of colour in like amounts.

    The differences vary far less from picture to picture, and what is weak beside the rays at first is hardly ever learnt.
    """
    opponents = torch.tensor([[1 / 3, 1 / 3, 1 / 3], [6.0, -6.0, 0.0], [-3.0, -3.0, 6.0]])
    with torch.no_grad():
        rgb.weight.copy_((3 * torch.randn(len(rgb.weight), 3) @ opponents)[:, :, None, None])


def build_encoder(model: ModelConfig, *, image_size: int, channels: int) -> nn.Module:
    """The encoder of `model` for pictures (B, channels, image_size, image_size), Xavier-initialised as in the paper."""
    if model.cameras.rays:
        rays = RayInput(channels, model.cameras)
        if channels == 3:
            _see_colours(rays.rgb)
        plain = dataclasses.replace(model, cameras=dataclasses.replace(model.cameras, rays=False, pose=False, view_attention=()))
        return PosedEncoder(rays, build_encoder(plain, image_size=image_size, channels=rays.out_channels))
    small_stem = model.encoder_stem == "small" or (model.encoder_stem == "auto" and image_size <= LARGE_IMAGE)
    if model.encoder == "tiny":
        encoder: nn.Module = TinyEncoder(
            channels=channels,
            width=model.encoder_width,
            latent_dim=model.latent_dim,
            small_stem=small_stem,
            head=model.encoder_head,
        )
    elif model.encoder == LITE:
        encoder = LiteEncoder(channels=channels, latent_dim=model.latent_dim, head=model.encoder_head)
    else:
        encoder = _torchvision_resnet(model.encoder, channels, model.latent_dim, small_stem)
    for module in encoder.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return encoder
