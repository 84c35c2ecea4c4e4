"""What the gallery measures, and with what: the model and its baselines, pictures, latents, factors, settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from soda.common.images import to_uint8
from soda.config import Config, EvaluateConfig
from soda.evaluation.factor_reader import FactorReader
from soda.evaluation.factors import Factors
from soda.evaluation.kept import Keeping
from soda.evaluation.latents import Sample, embed, pixels
from soda.evaluation.mixing import Roles
from soda.evaluation.probe import Features
from soda.inference.drawer import Drawer, Sampling
from soda.model.network import SodaNetwork

Latents = dict[str, Tensor]


def draw_positions(sample: Sample, limit: int, seed: int) -> np.ndarray:
    """At most `limit` positions in the sample, in random order: (n,) int64."""
    return np.random.default_rng(seed).permutation(len(sample))[:limit]


@dataclass(frozen=True)
class Painter:
    """Draws pictures from z with the model's own sampler, the n-th of a call always from the n-th noise of `seed`."""

    model: SodaNetwork
    seed: int
    batch_size: int

    @torch.no_grad()
    def floats(self, z: Tensor, *, alike: bool = False) -> Tensor:
        """(N, C, S, S) in [-1, 1] on the model's device, of z (N, D). alike: all from the first noise."""
        drawer = Drawer(self.model, batch_size=self.batch_size)
        return drawer.draw(z, sampling=Sampling(self.seed), alike=alike).to(drawer.device)

    def __call__(self, z: Tensor) -> np.ndarray:
        """(N, S, S, C) uint8."""
        return to_uint8(self.floats(z))


@dataclass(frozen=True)
class Subject:
    """What is measured, and with what.

    latents, samples: by split ("train", "val", "test"), beside one another. network: what perceptual distances are taken in, and
    `network_name` in words. untrained: the encoder before training, a baseline. keeping: where the beta-VAE's training is kept.
    """

    model: SodaNetwork
    trained: Config
    latents: dict[str, Features]
    samples: dict[str, Sample]
    network: nn.Module
    network_name: str
    untrained: nn.Module
    device: torch.device
    keeping: Keeping | None = None
    paint: Painter = field(init=False)

    def __post_init__(self) -> None:
        size = 100 if self.device.type == "cpu" else 500  # larger ones leave the processor's cache
        object.__setattr__(self, "paint", Painter(self.model, self.trained.train.seed, size))


@dataclass(frozen=True)
class FactorScene:
    """Pictures, their z and factors (all at `positions` of the subject's samples), and the classifier that reads factors.

    names: the factors that are measured; `factors` has the held-out content besides. directions: (K, D), one sigma of z along
    each.
    """

    subject: Subject
    factors: Factors
    names: list[str]
    roles: Roles | None
    positions: dict[str, np.ndarray]
    z: Latents
    directions: Tensor
    reader: FactorReader
    config: EvaluateConfig
    folder: Path

    def pictures(self, split: str, limit: int) -> np.ndarray:
        """The first `limit` pictures of a split: (n, S, S, C) uint8."""
        return self.subject.samples[split].gather(self.positions[split][:limit])

    def sample(self, split: str) -> Sample:
        """The scene's pictures of a split, in its own order."""
        whole = self.subject.samples[split]
        return Sample(whole.split, whole.indices[self.positions[split]])

    def encoded(self, encoder: nn.Module) -> Latents:
        return {
            split: embed(encoder, self.sample(split), batch_size=self.config.batch_size, device=self.subject.device).x
            for split in self.positions
        }

    def pixel_components(self, count: int) -> Latents:
        """Principal components of the pixels, fitted on train: split -> (n, at most `count`)."""
        raw = {split: pixels(self.sample(split), self.config.batch_size).x for split in self.positions}
        centre = raw["train"].mean(0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)  # the range finder draws a random start
            count = min(count, *raw["train"].shape)
            _, _, basis = torch.svd_lowrank(raw["train"] - centre, q=min(count + 16, *raw["train"].shape), niter=3)
        return {split: (x - centre) @ basis[:, :count] for split, x in raw.items()}
