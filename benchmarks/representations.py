"""What stands beside z when disentanglement is measured: each a function from images to vectors, on the same images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from soda.common.seeds import seed_of
from soda.config import Config
from soda.data.dataset import PreparedData
from soda.evaluation.baselines.beta_vae import images_of_equal_compute, train_beta_vae
from soda.evaluation.baselines.untrained import untrained_encoder
from soda.evaluation.disentanglement.by_section import first_components
from soda.evaluation.samples import Sample, draw_sample, embed, embed_features
from soda.model.network import SodaNetwork
from soda.training.fit import Keeping

CPU = torch.device("cpu")
BETAS = (1.0, 2.0, 4.0, 8.0, 16.0)
VAE_COMPONENTS = 10  # the field's; the next multiple of the sections
_BATCH = 250
_PCA_IMAGES = 10_000

Vectors = dict[str, np.ndarray]
"""split -> (n, D) float64."""
Method = Callable[[dict[str, Sample], int], Vectors]
"""Of some images by split, and the seed."""


@dataclass
class Beside:
    """A trained model, its data, and what VAEs may take: `vae_share` of the model's operations, a tenth of that for each beta.

    judge: (encoder) -> disentanglement on validation, which chooses beta.
    """

    model: SodaNetwork
    trained: Config
    data: PreparedData
    runs: Path
    vae_share: float
    judge: Callable[[nn.Module], float]

    @property
    def methods(self) -> dict[str, Method]:
        """By name, ours first."""
        found: dict[str, Method] = {
            "soda": self._of(lambda: self.model.encoder),
            "soda_sections": lambda samples, seed: first_components(self._z(samples), self.model.sections),
            "rotated": self._rotated,
            "features": self._features,
            "untrained": self._of(lambda: self._untrained),
            "pca": lambda samples, seed: {name: self._principal(each) for name, each in samples.items()},
            "pixels_8": lambda samples, seed: {name: averaged(each, 8) for name, each in samples.items()},
            "pixels_16": lambda samples, seed: {name: averaged(each, 16) for name, each in samples.items()},
        }
        if self.vae_share:
            found |= {name: self._of(lambda tc=tc: self._vae(tc)) for name, tc in (("beta_vae", False), ("beta_tcvae", True))}
        return found

    def _of(self, encoder: Callable[[], nn.Module]) -> Method:
        return lambda samples, seed: {name: encoded(encoder(), sample) for name, sample in samples.items()}

    def _features(self, samples: dict[str, Sample], seed: int) -> Vectors:
        both = {n: embed_features(self.model.encoder, each, batch_size=_BATCH, device=CPU) for n, each in samples.items()}
        return {name: features.x.double().numpy() for name, (_, features) in both.items()}

    def _z(self, samples: dict[str, Sample]) -> Vectors:
        return {name: encoded(self.model.encoder, sample) for name, sample in samples.items()}

    def _rotated(self, samples: dict[str, Sample], seed: int) -> Vectors:
        """z turned at random: the same knowledge, no axes."""
        z = self._z(samples)
        dim = z["train"].shape[1]
        turn = np.linalg.qr(np.random.default_rng(seed_of("rotation", seed)).standard_normal((dim, dim)))[0]
        return {name: values @ turn for name, values in z.items()}

    @cached_property
    def _whole(self) -> dict[str, Sample]:
        return {name: draw_sample(self.data.split(name), len(self.data.split(name)), 0) for name in ("train", "val")}

    @cached_property
    def _untrained(self) -> nn.Module:
        return untrained_encoder(self.trained, self._whole["train"], self._whole["val"], l2=1e-4, batch_size=_BATCH, device=CPU)[
            0
        ]

    @cached_property
    def _basis(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and principal axes (pixels, D) of training images; as many as z has components, or as there are."""
        x = averaged(draw_sample(self.data.split("train"), _PCA_IMAGES, 0), 32)
        values, axes = np.linalg.eigh(np.cov(x.T))
        count = min(self.trained.model.latent_dim, int((values > 1e-9 * values[-1]).sum()))
        return x.mean(0), axes[:, ::-1][:, :count]

    def _principal(self, sample: Sample) -> np.ndarray:
        centre, axes = self._basis
        return (averaged(sample, 32) - centre) @ axes

    def _vae(self, tc: bool) -> nn.Module:
        if tc not in self._vaes:
            trials = {beta: self.judge(self._trained_vae(beta, tc, self.vae_share / 10)) for beta in BETAS}
            best = max(trials, key=lambda beta: trials[beta])
            print(
                f"{'beta-TCVAE' if tc else 'beta-VAE'}: disentanglement on validation after a tenth of the operations: ", end=""
            )
            print(", ".join(f"beta {beta:g} {score:.3f}" for beta, score in trials.items()) + f"; beta is {best:g}", flush=True)
            self._vaes[tc] = self._trained_vae(best, tc, self.vae_share)
        return self._vaes[tc]

    @cached_property
    def _vaes(self) -> dict[bool, nn.Module]:
        return {}

    def _trained_vae(self, beta: float, tc: bool, share: float) -> nn.Module:
        sections = self.trained.model.sections
        dim = sections * math.ceil(VAE_COMPONENTS / sections)
        config = replace(self.trained, model=replace(self.trained.model, latent_dim=dim))
        images = images_of_equal_compute(self.trained, share)
        keeping = Keeping(self.runs, self.data.version)
        return train_beta_vae(config, self._whole["train"], images=images, beta=beta, device=CPU, tc=tc, keeping=keeping)


def encoded(encoder: nn.Module, sample: Sample) -> np.ndarray:
    """z of a sample, (n, D)."""
    return embed(encoder, sample, batch_size=_BATCH, device=CPU).x.double().numpy()


def averaged(sample: Sample, side: int) -> np.ndarray:
    """The images averaged down to `side` px, as vectors in [0, 1]: (n, C * side * side)."""
    blocks = []
    for batch in sample.batches(_BATCH):
        images = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255
        blocks.append((F.adaptive_avg_pool2d(images, side) if images.shape[-1] > side else images).flatten(1))
    return torch.cat(blocks).double().numpy()
