"""How far reconstructions are from their originals: PSNR, SSIM, and two distances in the features of a fixed network.

LPIPS and FID proper are defined by networks trained on ImageNet. `feature_distance` and `frechet_distance` are the same formulas
on another network, hence "LPIPS-like" and "FID-like": their values compare runs of this project, never published figures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

MAX_PSNR = 100.0  # dB; what two equal pictures get


def psnr(pictures: Tensor, originals: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture in dB, data range 1. (N, C, S, S) in [0, 1] each -> (N,), at most MAX_PSNR."""
    error = (pictures - originals).square().flatten(1).mean(1)
    return -10 * error.clamp(min=10 ** (-MAX_PSNR / 10)).log10()


def ssim(pictures: Tensor, originals: Tensor) -> Tensor:
    """Structural similarity of each picture (Wang et al. 2004), data range 1. (N, C, S, S) in [0, 1] each -> (N,).

    The usual Gaussian window of 11 px (sigma 1.5); pictures under 16 px get one of 5 px (sigma 0.5), which fits into them.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    sigma = 1.5 if pictures.shape[-1] >= 16 else 0.5
    values: Any = structural_similarity_index_measure(pictures, originals, sigma=sigma, reduction="none", data_range=1.0)
    return values.reshape(len(pictures))


def frechet_distance(features: np.ndarray, others: np.ndarray) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of two sets of features (N, D), (M, D): Heusel et al. 2017, eq. 6.

    0 for sets of equal mean and covariance. Small sets overestimate it: compare only values of the same N.
    """
    features, others = np.asarray(features, np.float64), np.asarray(others, np.float64)

    def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        centred = x - x.mean(0)
        return x.mean(0), centred.T @ centred / max(1, len(x) - 1)

    (mean_1, cov_1), (mean_2, cov_2) = moments(features), moments(others)
    values, vectors = np.linalg.eigh(cov_1)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    # The eigenvalues of C1 C2 are those of the symmetric C1^(1/2) C2 C1^(1/2): real, and stable where C1 is singular.
    trace_of_root = np.sqrt(np.linalg.eigvalsh(root @ cov_2 @ root).clip(0)).sum()
    distance = np.square(mean_1 - mean_2).sum() + np.trace(cov_1) + np.trace(cov_2) - 2 * trace_of_root
    return max(0.0, float(distance))


class FixedNetwork:
    """A frozen encoder as an instrument: its output, and its last feature map at every resolution, as LPIPS taps each stage."""

    def __init__(self, encoder: nn.Module) -> None:
        self.encoder = encoder.eval()

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """images: (B, C, S, S) in [-1, 1] -> output (B, D) and maps (B, C_i, S_i, S_i), the finest first."""
        maps: dict[int, Tensor] = {}

        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] > 1:
                maps[output.shape[-1]] = output

        hooks = [module.register_forward_hook(keep) for module in self.encoder.modules()]
        try:
            vector = self.encoder(images)
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
