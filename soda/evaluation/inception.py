"""Inception v3, whose pooled features FID is defined by, with weights that a person has.

Heusel et al. 2017 took the network of the TensorFlow release of 2015-12-05; its weights for torch are known as
pt_inception-2015-12-05-6726825d.pth, with 1,008 classes. It differs from torchvision's network in how three kinds of blocks
pool, and published figures are of it. torchvision's own weights (1,000 classes) give a distance of another scale.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soda.common.images import to_float
from soda.evaluation.image_metrics import frechet_distance
from soda.evaluation.weights import WeightsError, fill, read_state

SETTING = "evaluate.inception_weights"
SIDE = 299  # px
FID_CLASSES, TORCHVISION_CLASSES = 1008, 1000
_AVERAGING = ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7b")
_MAXIMUM = "Mixed_7c"


class Inception:
    """The network, its pooled features and their Frechet distance.

    name: "fid" of the network that published figures are of, "fid_torchvision" of the other one.
    """

    def __init__(self, path: str, device: torch.device, batch_size: int = 32) -> None:
        """Raises WeightsError for a file that is missing or not of an Inception v3."""
        from torchvision.models import inception_v3

        state = read_state(SETTING, path)
        head = state.get("fc.weight")
        classes = len(head) if head is not None and head.ndim else 0
        if classes not in (FID_CLASSES, TORCHVISION_CLASSES):
            told = "no tensor fc.weight" if head is None else f"an fc.weight of shape {tuple(head.shape)}"
            raise WeightsError(
                f"{SETTING}: {path} has {told}; an Inception v3 has {FID_CLASSES:,} classes (FID's own weights) or "
                f"{TORCHVISION_CLASSES:,} (torchvision's)"
            )
        network = inception_v3(weights=None, aux_logits=False, init_weights=False, transform_input=False, num_classes=classes)
        fill(network, state, SETTING, path)
        network.fc = nn.Identity()  # what is left is dropout, which does nothing here, and the pooled features
        if classes == FID_CLASSES:
            _pool_as_published(network)
        self.network, self.device, self.batch_size = network.to(device), device, batch_size
        self.name = "fid" if classes == FID_CLASSES else "fid_torchvision"

    @torch.no_grad()
    def describe(self, images: np.ndarray) -> np.ndarray:
        """Pooled features of images (N, S, S, C) uint8, grey or RGB: (N, 2048).

        Enlarged to 299 px by bilinear interpolation, in [-1, 1], as the torch port of FID has it.
        """
        blocks = []
        for start in range(0, len(images), self.batch_size):
            x = to_float(images[start : start + self.batch_size]).to(self.device)
            x = F.interpolate(rgb(x), (SIDE, SIDE), mode="bilinear", align_corners=False)
            blocks.append(self.network(x).float().cpu().numpy())
        return np.concatenate(blocks)

    def distance(self, images: np.ndarray, real: np.ndarray) -> float:
        """FID of two sets of images. Of few it is too high: published ones are of 10,000 to 50,000."""
        return self.between(images, self.describe(real))

    def between(self, images: np.ndarray, described: np.ndarray) -> float:
        """The same, of a second set that `describe` has seen."""
        return frechet_distance(self.describe(images), described)


def rgb(images: Tensor) -> Tensor:
    """(B, C, S, S) of one channel or three -> (B, 3, S, S)."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def _pool_as_published(network: nn.Module) -> None:
    """Means over 3 x 3 that leave the border's padding out, and a maximum in the last block, in the place of torchvision's."""
    for name in (*_AVERAGING, _MAXIMUM):
        block: Any = getattr(network, name)
        held: list[Tensor] = []

        def keep(module: nn.Module, inputs: tuple[Tensor], held: list[Tensor] = held) -> None:
            held[:] = inputs

        def pooled(module: nn.Module, inputs: Any, held: list[Tensor] = held, last: bool = name == _MAXIMUM) -> tuple[Tensor]:
            x = held.pop()
            return (F.max_pool2d(x, 3, 1, 1) if last else F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),)

        block.register_forward_pre_hook(keep)
        block.branch_pool.register_forward_pre_hook(pooled)
