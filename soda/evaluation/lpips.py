"""LPIPS (Zhang et al. 2018), with weights that a person has: a backbone trained on ImageNet and the linear layers on top."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from soda.common.images import to_float
from soda.evaluation.inception import rgb
from soda.evaluation.weights import State, WeightsError, fill, read_state

BACKBONE, LINEAR = "evaluate.lpips_weights", "evaluate.lpips_linear"
TAPS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
"""Places in torchvision's `features` behind whose ReLU a map is taken."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of the channels, images being in [-1, 1]: ImageNet's mean and deviation."""
SMALLEST = 32  # px a side; smaller images leave AlexNet's last maps no room


class Lpips:
    """The distance. name: "lpips" of AlexNet, which the paper recommends for comparisons, "lpips_vgg" of VGG-16.
    about: the files it is made of.
    """

    def __init__(self, backbone: str, linear: str | None, device: torch.device, batch_size: int = 64) -> None:
        """backbone: a .pth of torchvision's AlexNet or VGG-16; linear: one of the linear layers, None: those of torchmetrics.

        Raises WeightsError for files that are missing or of another network.
        """
        from torchvision.models import alexnet, vgg16

        state = read_state(BACKBONE, backbone)
        kind = _kind(state, backbone)
        with torch.device("meta"):  # the classifier on top, most of the weights, is not wanted
            whole = (alexnet if kind == "alex" else vgg16)(weights=None)
        self.features = nn.ModuleDict({"features": whole.features}).to_empty(device="cpu")
        fill(self.features, state, BACKBONE, backbone)
        own = _shipped(kind) if linear is None else Path(linear)
        weights = read_state(LINEAR, own)
        self.linear = [_layer(weights, k, self._width(kind, k), own).to(device) for k in range(len(TAPS[kind]))]
        self.taps, self.device, self.batch_size = TAPS[kind], device, batch_size
        self.features.to(device)
        self.about = f"{backbone}, linear layers {'of torchmetrics' if linear is None else linear}"
        self.name = "lpips" if kind == "alex" else "lpips_vgg"

    def _width(self, kind: str, k: int) -> int:
        """Channels of the k-th map: those of the convolution before its ReLU."""
        return int(self.features["features"][TAPS[kind][k] - 1].out_channels)  # type: ignore[index, arg-type]

    @torch.no_grad()
    def distances(self, images: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Of each image from the other beside it, (N, S, S, C) uint8 each, grey or RGB: (N,) float64.

        Images under 32 px are enlarged to it (bilinear), which is not in the paper.
        """
        found = []
        for start in range(0, len(images), self.batch_size):
            rows = slice(start, start + self.batch_size)
            maps, beside = (self._maps(each[rows]) for each in (images, others))
            total = torch.zeros(len(maps[0]), device=self.device)
            for a, b, weight in zip(maps, beside, self.linear, strict=True):
                total += (weight * (a - b).square()).sum(1).flatten(1).mean(1)  # eq. 1
            found.append(total.double().cpu().numpy())
        return np.concatenate(found)

    def _maps(self, images: np.ndarray) -> list[Tensor]:
        """The maps of a batch, at each place of length 1."""
        x = rgb(to_float(images).to(self.device))
        if x.shape[-1] < SMALLEST:
            x = nn.functional.interpolate(x, (SMALLEST, SMALLEST), mode="bilinear", align_corners=False)
        shift, scale = (torch.tensor(each, device=self.device).view(1, 3, 1, 1) for each in (SHIFT, SCALE))
        x, maps = (x - shift) / scale, []
        for place, layer in enumerate(self.features["features"].children()):
            x = layer(x)
            if place in self.taps:
                maps.append(x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt())
            if len(maps) == len(self.taps):
                break
        return maps


def _kind(state: State, path: str) -> str:
    """Which backbone a state is of, by its first convolution."""
    first = state.get("features.0.weight")
    shape = None if first is None else tuple(first.shape)
    kinds = {(64, 3, 11, 11): "alex", (64, 3, 3, 3): "vgg"}
    if shape not in kinds:
        told = "no tensor features.0.weight" if shape is None else f"a features.0.weight of shape {shape}"
        raise WeightsError(f"{BACKBONE}: {path} has {told}; LPIPS takes torchvision's AlexNet or VGG-16")
    return kinds[shape]


def _shipped(kind: str) -> Path:
    """The linear layers that come with torchmetrics (0.1, by the authors)."""
    import torchmetrics.functional.image as package

    return Path(package.__file__).parent / "lpips_models" / f"{kind}.pth"


def _layer(state: State, k: int, width: int, path: Path) -> Tensor:
    """Weights of the k-th map's channels, (1, width, 1, 1): `lin{k}.model.1.weight` as the authors' files have it."""
    name = f"lin{k}.model.1.weight"
    if name not in state:
        raise WeightsError(f"{LINEAR}: {path} has no tensor {name}: these are not LPIPS's linear layers")
    if tuple(state[name].shape) != (1, width, 1, 1):
        raise WeightsError(f"{LINEAR}: {path}: {name} has shape {tuple(state[name].shape)}; it must be {(1, width, 1, 1)}")
    return state[name].float()
