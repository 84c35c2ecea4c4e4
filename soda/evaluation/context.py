"""What is measured, and with what; whatever several measures need and takes long is made once, when the first asks for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from soda.common.images import to_uint8
from soda.config import Config, EvaluateConfig
from soda.data.columns import SPLITS
from soda.data.dataset import PreparedData
from soda.evaluation.baselines.supervised import SupervisedNetwork, train_supervised
from soda.evaluation.baselines.untrained import begun_encoder, calibrated_encoder, initial_encoder, untrained_encoder
from soda.evaluation.factors import Factors, read_factors
from soda.evaluation.image_metrics import FixedNetwork, ImageJudge
from soda.evaluation.linear_probe import Features
from soda.evaluation.samples import Sample, draw_sample, embed, embed_features
from soda.evaluation.scene import FactorScene, make_scene
from soda.inference.directions import Directions
from soda.inference.discovery import MAX_LATENTS
from soda.inference.drawer import Drawer, Sampling
from soda.inference.soda import SODA
from soda.model.network import SodaNetwork
from soda.training.fit import Keeping
from soda.viz.grids import spread_picks

log = logging.getLogger(__name__)

MAX_IMAGES = 60_000  # of a split: memory stays flat as the data grows
SHOWN = 10  # test images that are interpolated and mixed to be looked at


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Log how long it took."""
    started = time.perf_counter()
    yield
    log.info("evaluate: %s took %.0f s", what, time.perf_counter() - started)


@dataclass(eq=False)
class EvaluationContext:
    """One evaluation: a model in eval mode with the settings of its training, the data, the protocol.

    folder: where figures are drawn; model_dir: what the model was read from; keeping: where the baselines' trainings are kept;
    weights: checksum of what is evaluated.
    """

    model: SodaNetwork
    trained: Config
    data: PreparedData
    config: EvaluateConfig
    folder: Path
    model_dir: Path
    keeping: Keeping | None = None
    weights: str = ""

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def classes(self) -> int:
        """The number of labels."""
        return len(self.data.label_names)

    @cached_property
    def samples(self) -> dict[str, Sample]:
        """The images of each split ("train", "val", "test") that are looked at."""
        return {n: draw_sample(self.data.split(n), MAX_IMAGES, self.config.seed) for n in SPLITS}

    @cached_property
    def factors(self) -> Factors | None:
        """What is known of the images, beside `samples`; None where nothing is."""
        return read_factors(self.data, self.samples)

    def embed(self, encoder: nn.Module) -> dict[str, Features]:
        """Features of every split by an encoder in eval mode."""
        size, device = self.config.batch_size, self.device
        return {name: embed(encoder, sample, batch_size=size, device=device) for name, sample in self.samples.items()}

    def embed_features(self, encoder: nn.Module) -> tuple[dict[str, Features], dict[str, Features]]:
        """z of every split by an encoder in eval mode, and what its last layer makes z of."""
        size, device = self.config.batch_size, self.device
        both = {n: embed_features(encoder, sample, batch_size=size, device=device) for n, sample in self.samples.items()}
        return {name: z for name, (z, _) in both.items()}, {name: features for name, (_, features) in both.items()}

    @cached_property
    def _embedded(self) -> tuple[dict[str, Features], dict[str, Features]]:
        with timed("latents"):
            return self.embed_features(self.model.encoder)

    @property
    def latents(self) -> dict[str, Features]:
        """z of every split."""
        return self._embedded[0]

    @property
    def z_is_features(self) -> bool:
        """Whether no layer lies between the two, so that to measure both is to measure one twice."""
        return self.trained.model.encoder_head == "map"

    @property
    def features(self) -> dict[str, Features]:
        """The features before z of every split."""
        return self._embedded[1]

    @cached_property
    def no_probe(self) -> str:
        """Why labels cannot be probed; empty when they can."""
        train, test = self.samples["train"].labels, self.samples["test"].labels
        kinds = len(set(train[train >= 0].tolist()))
        if kinds < 2:
            return f"the train split holds {kinds} label{'' if kinds == 1 else 's'}, and telling apart takes two"
        return "" if (test >= 0).any() else "no test picture has a label"

    @cached_property
    def untrained(self) -> tuple[nn.Module, bool]:
        """The encoder before training, and whether training images set its BatchNorm statistics."""
        with timed("the untrained encoder"):
            return untrained_encoder(
                self.trained,
                self.samples["train"],
                self.samples["val"],
                l2=sorted(self.config.probe_l2)[len(self.config.probe_l2) // 2],
                batch_size=self.config.batch_size,
                device=self.device,
            )

    def untrained_draw(self, draw: int) -> nn.Module:
        """The encoder before training with other weights, treated as what `untrained` found best; draw 0 is `untrained`."""
        encoder, calibrated = self.untrained
        if not draw:
            return encoder
        if calibrated:
            return calibrated_encoder(self.trained, self.samples["train"], self.device, draw)
        return initial_encoder(self.trained, draw).to(self.device)

    def embed_begun(self) -> dict[str, Features] | None:
        """z of every split by the encoder that training began with, where that was another model's and has learnt since."""
        encoder = begun_encoder(self.trained)
        return None if encoder is None else self.embed(encoder.to(self.device))

    @cached_property
    def supervised(self) -> SupervisedNetwork | None:
        """The same encoder trained with the labels; None where there are none, or the settings want none."""
        if self.no_probe or not self.config.supervised:
            return None
        with timed("the supervised network"):
            return train_supervised(self.trained, self.samples["train"], self.classes, device=self.device, keeping=self.keeping)

    @cached_property
    def network(self) -> FixedNetwork:
        """What perceptual distances are taken in."""
        return FixedNetwork(self.supervised.encoder if self.supervised else self.untrained[0])

    @property
    def network_name(self) -> str:
        """`network` in words."""
        return "the supervised network's encoder" if self.supervised else "the untrained encoder"

    @cached_property
    def judge(self) -> ImageJudge:
        """Compares images by `network`."""
        return ImageJudge(self.network, batch_size=self.config.batch_size)

    @cached_property
    def drawer(self) -> Drawer:
        """Draws from z."""
        size = 100 if self.device.type == "cpu" else 500  # larger ones leave the processor's cache
        return Drawer(self.model, batch_size=size)

    def draw(self, z: Tensor, *, alike: bool = False) -> Tensor:
        """(N, C, S, S) in [-1, 1] of z (N, D), the n-th always from the n-th noise; alike: all from the first."""
        return self.drawer.draw(z, sampling=Sampling(self.trained.train.seed), alike=alike)

    def paint(self, z: Tensor) -> np.ndarray:
        """What `draw` draws, as (N, S, S, C) uint8."""
        return to_uint8(self.draw(z))

    @cached_property
    def soda(self) -> SODA:
        """The model as people work with it, its directions found without labels."""
        soda = SODA(self.model, self.trained, self.model_dir, output="array")
        z = self.latents["train"].x
        chosen = np.sort(np.random.default_rng(self.config.seed).permutation(len(z))[:MAX_LATENTS])
        with timed("directions"):
            soda.find_directions(z=z[chosen], seed=self.config.seed, save=False)
        return soda

    @property
    def directions(self) -> Directions:
        """Found without labels."""
        return self.soda.directions

    @cached_property
    def shown(self) -> np.ndarray:
        """Test images of as many kinds as there are, to be worked with before a reader's eyes: (n, S, S, C) uint8."""
        test = self.samples["test"]
        return test.gather(spread_picks(test.labels, SHOWN, self.config.seed))

    @property
    def shown_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The first half of `shown` beside the second: neighbours in it may be of one kind."""
        half = len(self.shown) // 2
        return self.shown[:half], self.shown[half : 2 * half]

    @cached_property
    def scene(self) -> FactorScene | None:
        """Images whose factors can be learnt, and the classifier that reads them; None where there are no such factors."""
        if self.factors is None or not self.factors.learnable:
            return None
        with timed("the reader of factors"):
            return make_scene(self, self.factors)
