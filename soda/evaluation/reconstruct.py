"""Reconstruction from z alone: the pictures, and how near they come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from soda.common.images import to_float, to_uint8
from soda.evaluation.metrics import FixedNetwork, feature_distance, frechet_distance, psnr, ssim
from soda.inference.drawer import Drawer, Sampling
from soda.model.network import SodaNetwork


@torch.no_grad()
def reconstruct(model: SodaNetwork, z: Tensor, *, seed: int, sample: int = 0, batch_size: int) -> np.ndarray:
    """Draw a picture from every z (N, D) with the model's own sampler and steps, starting from noise that (seed, sample) decides.

    No inversion: nothing of the original but z enters. Returns (N, S, S, C) uint8.
    """
    drawer = Drawer(model, batch_size=batch_size, progress=True)
    return to_uint8(drawer.draw(z, sampling=Sampling(seed, sample=sample), label="reconstruct"))


@dataclass(frozen=True)
class Nearness:
    """Each picture against its original: (N,) float64 each."""

    psnr: np.ndarray  # dB
    ssim: np.ndarray
    lpips_like: np.ndarray


class Judge:
    """Compares uint8 pictures (N, S, S, C) as 8-bit pictures, in [0, 1] and in the features of a fixed network."""

    def __init__(self, network: FixedNetwork, *, device: torch.device, batch_size: int) -> None:
        self.network, self.device, self.batch_size = network, device, batch_size

    def _blocks(self, pictures: np.ndarray) -> list[np.ndarray]:
        return [pictures[i : i + self.batch_size] for i in range(0, len(pictures), self.batch_size)]

    @torch.no_grad()
    def nearness(self, pictures: np.ndarray, originals: np.ndarray) -> Nearness:
        """Every picture against its original."""
        columns: list[list[Tensor]] = [[], [], []]
        for ours_8bit, theirs_8bit in zip(self._blocks(pictures), self._blocks(originals), strict=True):
            ours, theirs = to_float(ours_8bit).to(self.device), to_float(theirs_8bit).to(self.device)
            unit = ((ours + 1) / 2).clamp(0, 1), ((theirs + 1) / 2).clamp(0, 1)
            features = feature_distance(self.network(ours)[1], self.network(theirs)[1])
            for column, value in zip(columns, (psnr(*unit), ssim(*unit), features), strict=True):
                column.append(value.cpu())
        return Nearness(*(torch.cat(column).double().numpy() for column in columns))

    def fid_like(self, pictures: np.ndarray, originals: np.ndarray) -> float:
        """Frechet distance between the network's outputs for two sets."""
        return frechet_distance(self._describe(pictures), self._describe(originals))

    def _describe(self, pictures: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [self.network(to_float(block).to(self.device))[0].cpu().numpy() for block in self._blocks(pictures)]
        )
