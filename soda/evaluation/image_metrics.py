"""How far reconstructions are from their originals: PSNR, SSIM, and two distances in the features of a fixed network.

LPIPS and FID proper are defined by networks trained on ImageNet. `feature_distance` and `frechet_distance` are the same formulas
on another network, hence "LPIPS-like" and "FID-like": their values compare runs of this project, never published figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soda.common.images import to_float

MAX_PSNR = 100.0  # dB; what two equal images get


def psnr(images: Tensor, originals: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, data range 1. (N, C, S, S) in [0, 1] each -> (N,), at most MAX_PSNR."""
    error = (images - originals).square().flatten(1).mean(1)
    return -10 * error.clamp(min=10 ** (-MAX_PSNR / 10)).log10()


def ssim(images: Tensor, originals: Tensor) -> Tensor:
    """Structural similarity of each image (Wang et al. 2004), data range 1. (N, C, S, S) in [0, 1] each -> (N,).

    The usual Gaussian window of 11 px (sigma 1.5); images under 16 px get one of 5 px (sigma 0.5), which fits into them.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    sigma = 1.5 if images.shape[-1] >= 16 else 0.5
    values: Any = structural_similarity_index_measure(images, originals, sigma=sigma, reduction="none", data_range=1.0)
    return values.reshape(len(images))


def frechet_distance(features: np.ndarray, others: np.ndarray) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of two sets of features (N, D), (M, D): Heusel et al. 2017, eq. 6.

    0 for sets of equal mean and covariance. Small sets overestimate it: compare only values of the same N.
    """
    sets = [np.asarray(each, np.float64) for each in (features, others)]
    # Rows over the root of their number: C = x^T x.
    x, y = ((each - each.mean(0)) / np.sqrt(max(1, len(each) - 1)) for each in sets)
    if min(len(x), len(y)) < x.shape[1]:
        # tr (C1 C2)^(1/2) is the sum of the singular values of x y^T: exact, and far smaller than D x D where images are few.
        trace_of_root = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    else:
        values, vectors = np.linalg.eigh(x.T @ x)
        root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
        # The eigenvalues of C1 C2 are those of the symmetric C1^(1/2) C2 C1^(1/2): real, and stable where C1 is singular.
        trace_of_root = np.sqrt(np.linalg.eigvalsh(root @ (y.T @ y) @ root).clip(0)).sum()
    between = np.square(sets[0].mean(0) - sets[1].mean(0)).sum()
    return max(0.0, float(between + np.square(x).sum() + np.square(y).sum() - 2 * trace_of_root))


class FixedNetwork:
    """A frozen encoder as an instrument: its output, and its last feature map at every resolution, as LPIPS taps each stage."""

    def __init__(self, encoder: nn.Module) -> None:
        self.encoder, self.device = encoder.eval(), next(encoder.parameters()).device

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """images: (B, C, S, S) in [-1, 1], on any device -> output (B, D) and maps (B, C_i, S_i, S_i), the finest first."""
        maps: dict[int, Tensor] = {}

        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] > 1:
                maps[output.shape[-1]] = output

        hooks = [module.register_forward_hook(keep) for module in self.encoder.modules()]
        try:
            vector = self.encoder(images.to(self.device))
        finally:
            for hook in hooks:
                hook.remove()
        return vector.flatten(1), [maps[size] for size in sorted(maps, reverse=True)]


def feature_distance(maps: list[Tensor], others: list[Tensor]) -> Tensor:
    """LPIPS's formula (Zhang et al. 2018, eq. 1) with every weight 1: at each place of each map the squared distance of the two
    channel vectors, brought to unit length; averaged over places, then over maps. Lists of (B, C_i, S_i, S_i) -> (B,) in [0, 4].
    """
    layers = [
        (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).flatten(1).mean(1)  # (B,)
        for a, b in zip(maps, others, strict=True)
    ]
    return torch.stack(layers).mean(0)


@dataclass(frozen=True)
class Nearness:
    """Each image against its original: (N,) float64 each."""

    psnr: np.ndarray  # dB
    ssim: np.ndarray
    lpips_like: np.ndarray

    def means(self) -> dict[str, float]:
        """Of each measure, over the images."""
        return {name: float(values.mean()) for name, values in vars(self).items()}


class ImageJudge:
    """Compares uint8 images (N, S, S, C) as 8-bit images, in [0, 1] and in the features of a fixed network."""

    def __init__(self, network: FixedNetwork, *, batch_size: int) -> None:
        self.network, self.device, self.batch_size = network, network.device, batch_size

    def _blocks(self, images: np.ndarray) -> list[np.ndarray]:
        return [images[i : i + self.batch_size] for i in range(0, len(images), self.batch_size)]

    @torch.no_grad()
    def nearness(self, images: np.ndarray, originals: np.ndarray) -> Nearness:
        """Every image against its original."""
        blocks = []
        for ours_8bit, theirs_8bit in zip(self._blocks(images), self._blocks(originals), strict=True):
            ours, theirs = to_float(ours_8bit).to(self.device), to_float(theirs_8bit).to(self.device)
            unit = ((ours + 1) / 2).clamp(0, 1), ((theirs + 1) / 2).clamp(0, 1)
            features = feature_distance(self.network(ours)[1], self.network(theirs)[1])
            blocks.append(torch.stack([psnr(*unit), ssim(*unit), features]).cpu())  # (3, B)
        return Nearness(*torch.cat(blocks, dim=1).double().numpy())

    def fid_like(self, images: np.ndarray, real: np.ndarray) -> float:
        """Frechet distance between the network's outputs for two sets.

        Of images against the originals that they were made from it is smaller than between two sets of real images, whatever the
        images look like: say so in the figure's name (`fid_like_paired`).
        """
        return frechet_distance(self.describe(images), self.describe(real))

    def describe(self, images: np.ndarray) -> np.ndarray:
        """The network's outputs for a set: (N, D)."""
        return np.concatenate([self.network(to_float(block))[0].cpu().numpy() for block in self._blocks(images)])
