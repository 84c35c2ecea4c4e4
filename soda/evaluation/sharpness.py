"""How much fine detail images hold, without a pairing: PSNR is best for a blurred mean, and cannot say it."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from soda.evaluation.image_metrics import frechet_distance

SMALLEST = 8  # px a side of the coarsest band
FLOOR = 1 / (12 * 255**2)
"""Energy of the rounding to 8 bits, data range 1: below it there is nothing to tell."""


def band_energies(images: np.ndarray) -> np.ndarray:
    """Mean square of what each halving of an image loses, the finest band first: (N, S, S, C) uint8 -> (N, bands), data range 1.

    A band is an image minus its means over 2 x 2 px; the next one is taken of these means, down to SMALLEST px a side, one band
    at least. An odd last row or column is left out.
    """
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255  # (N, C, S, S)
    bands: list[torch.Tensor] = []
    while not bands or x.shape[-1] >= SMALLEST:
        even = x.shape[-1] // 2 * 2
        x = x[..., :even, :even]
        means = F.avg_pool2d(x, 2)
        bands.append((x - F.interpolate(means, scale_factor=2)).square().flatten(1).mean(1))
        x = means
    return torch.stack(bands, 1).double().numpy()


def detail(images: np.ndarray, real: np.ndarray) -> float:
    """Energy of the finest band of the images over that of real ones: 1 as much detail, less is blurred, more is noise."""
    ours, theirs = (float(band_energies(each)[:, 0].mean()) for each in (images, real))
    return ours / max(theirs, FLOOR)


def detail_distance(images: np.ndarray, real: np.ndarray) -> float:
    """Frechet distance between the logarithms (base 10) of the band energies of two sets of images, unpaired.

    0 where fine and coarse detail are spread over the images alike. Two sets of a few hundred real images are some hundredths
    apart: a handful of numbers an image, so that small sets do not overestimate it much.
    """
    return frechet_distance(*(np.log10(band_energies(each) + FLOOR) for each in (images, real)))
