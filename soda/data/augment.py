"""Pairs of views: the source that the encoder sees and the target that the denoiser draws, by batched augmentation.

Everything is a tensor operation on the whole batch; which pictures an operation touches is drawn per picture. Which two
pictures a pair is of is found in pairs.py. The cameras of rendered views travel beside them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from soda.config import AugmentConfig, ViewsConfig

REDRAWS = 16
"""How often a pair of equal views is drawn again: a picture of one colour has no two views that differ."""
BLIND_REDRAWS = 2
"""The same where the draws are a GPU's, which would have to be waited for to know whether there is such a pair."""


class ViewDraws:
    """Random numbers of one batch, from one generator, placed on the device of the pictures."""

    def __init__(self, generator: torch.Generator, batch: int, device: torch.device) -> None:
        self.generator, self.batch, self.device = generator, batch, device

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """(B,) in [low, high)."""
        return (torch.rand(self.batch, generator=self.generator) * (high - low) + low).to(self.device)

    def chance(self, probability: float) -> Tensor:
        """(B,) of booleans."""
        return self.uniform() < probability

    def sign(self) -> Tensor:
        return self.chance(0.5).float() * 2 - 1

    def choice(self, count: int) -> Tensor:
        return (self.uniform() * count).long().clamp(max=count - 1)


def _matrices(batch: int, device: torch.device) -> Tensor:
    return torch.eye(3, device=device).repeat(batch, 1, 1)


def _crop_and_flip(config: AugmentConfig, draws: ViewDraws) -> Tensor:
    """Matrices (B, 3, 3) from output to input coordinates in [-1, 1]: a random resized crop (aspect 3/4 to 4/3) and a mirror."""
    cropped = draws.chance(config.crop_prob)
    area = draws.uniform(config.crop_scale_min, 1.0)
    log_aspect = draws.uniform(math.log(3 / 4), math.log(4 / 3))
    width = (area * log_aspect.exp()).sqrt().clamp(max=1.0)
    height = (area / log_aspect.exp()).sqrt().clamp(max=1.0)
    matrix = _matrices(draws.batch, draws.device)
    ones = torch.ones_like(width)
    matrix[:, 0, 0] = torch.where(cropped, width, ones) * torch.where(draws.chance(config.flip_prob), -ones, ones)
    matrix[:, 1, 1] = torch.where(cropped, height, ones)
    matrix[:, 0, 2] = torch.where(cropped, (1 - width) * draws.uniform(-1, 1), 0 * ones)
    matrix[:, 1, 2] = torch.where(cropped, (1 - height) * draws.uniform(-1, 1), 0 * ones)
    return matrix


def _geometric(op: int, strength: Tensor) -> Tensor:
    """Matrices (B, 3, 3) of rotation (0), shear x (1), shear y (2), shift x (3), shift y (4); strength (B,) in [-1, 1]."""
    matrix = _matrices(len(strength), strength.device)
    if op == 0:
        angle = strength * math.pi / 6
        matrix[:, 0, 0], matrix[:, 0, 1] = angle.cos(), -angle.sin()
        matrix[:, 1, 0], matrix[:, 1, 1] = angle.sin(), angle.cos()
    else:
        row, column = {1: (0, 1), 2: (1, 0), 3: (0, 2), 4: (1, 2)}[op]
        matrix[:, row, column] = strength * (0.3 if op < 3 else 0.45)
    return matrix


def _grey(x: Tensor) -> Tensor:
    return x.mean(1, keepdim=True)


# Photometric operations on pictures in [-1, 1]; strength (B, 1, 1, 1) in [-1, 1], 0 changes nothing.
_PHOTOMETRIC: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    lambda x, s: x + s,  # brightness
    lambda x, s: (x - x.mean((1, 2, 3), keepdim=True)) * (1 + 0.9 * s) + x.mean((1, 2, 3), keepdim=True),  # contrast
    lambda x, s: _grey(x) + (x - _grey(x)) * (1 + 0.9 * s),  # saturation
    lambda x, s: torch.where(x > 1 - 2 * s.abs(), -x, x),  # solarize
    lambda x, s: torch.lerp(x, F.avg_pool2d(x, 3, 1, 1, count_include_pad=False), -s),  # sharpness
)
_GEOMETRIC_OPS = 5


def _randaugment(images: Tensor, matrix: Tensor, config: AugmentConfig, draws: ViewDraws) -> tuple[Tensor, Tensor]:
    """RandAugment (Cubuk et al. 2020): `ops` operations of strength up to `magnitude`, each drawn per picture."""
    touched = draws.chance(config.randaugment_prob)
    for _ in range(config.randaugment_ops):
        op = draws.choice(_GEOMETRIC_OPS + len(_PHOTOMETRIC))
        strength = draws.sign() * draws.uniform(0, config.randaugment_magnitude)
        for k in range(_GEOMETRIC_OPS):
            chosen = (touched & (op == k))[:, None, None]
            matrix = torch.where(chosen, matrix @ _geometric(k, strength), matrix)
        for k, change in enumerate(_PHOTOMETRIC):
            chosen = (touched & (op == _GEOMETRIC_OPS + k))[:, None, None, None]
            images = torch.where(chosen, change(images, strength[:, None, None, None]).clamp(-1, 1), images)
    return images, matrix


def augment(images: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """One view of each picture: (B, C, S, S) in [-1, 1] -> the same shape; within [-1, 1] unless noise is added.

    generator: a CPU generator; the views depend on nothing else. What the settings leave off costs nothing.
    """
    draws = ViewDraws(generator, len(images), images.device)
    moved = config.crop_prob > 0 or config.flip_prob > 0
    matrix = _crop_and_flip(config, draws) if moved else _matrices(draws.batch, draws.device)
    if config.randaugment_prob > 0 and config.randaugment_ops > 0:
        images, matrix = _randaugment(images, matrix, config, draws)
        moved = True
    if moved:
        grid = F.affine_grid(matrix[:, :2], list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    if config.noise_sigma > 0:
        noise = torch.randn(images.shape, generator=generator).to(images.device)
        images = images + config.noise_sigma * noise
    return images.contiguous(memory_format=torch.channels_last)


def recolour(views: Sequence[Tensor], strength: float, generator: torch.Generator) -> list[Tensor]:
    """Other colours for each pair, the same in all its views: some (B, C, S, S) in [-1, 1] -> the same shapes.

    A channel's brightness in [0, 1] is raised to the power exp(strength * n), n drawn from N(0, 1) for each pair and channel:
    white and black stay, what lies between is tinted, lightened or darkened. strength 0 changes nothing.
    """
    batch, channels = views[0].shape[:2]
    powers = torch.exp(strength * torch.randn(batch, channels, 1, 1, generator=generator)).to(views[0].device)
    return [((view + 1) / 2).clamp(0, 1).pow(powers) * 2 - 1 for view in views]


def _surely(config: AugmentConfig) -> AugmentConfig:
    """The same view, but for leaving a picture as it is by chance. (A sure mirror would be one outcome; it stays a chance.)"""
    return dataclasses.replace(config, crop_prob=float(config.crop_prob > 0), randaugment_prob=float(config.randaugment_prob > 0))


def draw_shown(batch: int, sources: int, generator: torch.Generator) -> Tensor:
    """Which views of each pair count: its first k, k drawn evenly from 1 .. sources. (batch, sources) of booleans."""
    counts = torch.randint(1, sources + 1, (batch, 1), generator=generator)
    return torch.arange(sources)[None] < counts


def view_pair(of_source: Tensor, of_target: Tensor, config: ViewsConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(source, target), each (B, C, S, S), drawn independently of one another from the images of either.

    Two views of one image that came out the same are drawn again, unless reconstruction is trained.
    """
    source, target = augment(of_source, config.source, generator), augment(of_target, config.target, generator)
    if config.pairs.by != "picture" or config.reconstructs:
        return source, target
    blind = generator.device.type != "cpu"
    for _ in range(BLIND_REDRAWS if blind else REDRAWS):
        same = (source == target).flatten(1).all(1)
        if not blind and not same.any():
            break
        if config.source.leaves_as_is:
            target = _redrawn(target, of_target, same, config.target, generator)
        else:
            source = _redrawn(source, of_source, same, config.source, generator)
    return source, target


def _redrawn(views: Tensor, images: Tensor, same: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """The views, those of `same` (B,) drawn again. On a GPU all are drawn: how many they are would have to be waited for."""
    if generator.device.type != "cpu":
        return torch.where(same[:, None, None, None], augment(images, _surely(config), generator), views)
    views[same] = augment(images[same], _surely(config), generator)
    return views
