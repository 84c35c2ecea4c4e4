"""One run of an arm: train to its marks and measure at each of them, on validation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from soda.common.images import to_float
from soda.common.seeds import seed_of
from soda.config import Config
from soda.data.dataset import PreparedData
from soda.data.pairs import find_partners
from soda.evaluation.baselines.untrained import calibrate_batchnorm
from soda.evaluation.disentanglement.dci import FactorData
from soda.evaluation.disentanglement.dci_forest import disentanglement
from soda.evaluation.factors import Factors, read_factors
from soda.evaluation.linear_probe import Features, linear_probe
from soda.evaluation.samples import Sample, draw_sample, embed, pixels
from soda.evaluation.section_probes import section_probes
from soda.model.network import SodaNetwork
from soda.training.batches import Reader
from soda.training.held_out import read_held_out
from soda.training.step import optimise, start_run
from soda.training.usage import measure_use

TRAIN_LIMIT, HELD_OUT_LIMIT = 6000, 3000
DCI_IMAGES, MAX_FACTORS, USED = 1500, 6, 256
L2 = (1e-3, 1e-2, 1e-1)


@dataclass(frozen=True)
class Judges:
    """Images that z is judged on: fitted on `train`, chosen on one half of validation, reported on the other.

    With `test` the report is on the test split instead.
    """

    samples: dict[str, Sample]
    factors: Factors | None
    classes: int

    @classmethod
    def of(cls, data: PreparedData, *, test: bool = False) -> Judges:
        val = _shuffled(data, "val", HELD_OUT_LIMIT)
        half = len(val) // 2
        choose, report = Sample(val.split, val.indices[:half]), Sample(val.split, val.indices[half:])
        if test:
            report = _shuffled(data, "test", HELD_OUT_LIMIT)
        samples = {"train": _shuffled(data, "train", TRAIN_LIMIT), "val": choose, "test": report}
        return cls(samples, read_factors(data, samples), len(data.label_names))

    def judge(self, z: dict[str, Features], sections: int) -> dict[str, float]:
        """Probe of the label; with factors also their probes, how far sections differ, and DCI."""
        found: dict[str, float] = {}
        if self.classes > 1:
            found["probe"] = linear_probe(z["train"], z["val"], z["test"], classes=self.classes, l2=L2).test_top1
        if self.factors and self.factors.learnable:
            found |= self._factors({name: features.x for name, features in z.items()}, sections)
        return found

    def _factors(self, z: dict[str, Tensor], sections: int) -> dict[str, float]:
        factors = self.factors
        assert factors is not None
        names = factors.commonest(factors.learnable, MAX_FACTORS)
        probes = section_probes(z, factors, names, sections if z["train"].shape[1] % sections == 0 else 1, L2[:1])
        found = {
            "factor_probe": float(probes.whole.mean()),
            "section_spread": float((probes.lift.max(0) - probes.lift.min(0)).mean()),
        }
        if len(names) > 1:
            x = {split: values[:DCI_IMAGES].double().numpy() for split, values in z.items()}
            y = {split: {name: factors.codes[split][name][:DCI_IMAGES] for name in names} for split in z}
            scores = disentanglement(FactorData(x, y), jobs=1)
            found |= {"dci_d": scores.dci_d, "dci_c": scores.dci_c, "modularity": scores.modularity}
        return found


def _shuffled(data: PreparedData, name: str, limit: int) -> Sample:
    sample = draw_sample(data.split(name), limit, 0)
    return Sample(sample.split, np.random.default_rng(seed_of("claims", name)).permutation(sample.indices))


def judge_encoder(encoder: nn.Module, judges: Judges, sections: int, device: torch.device) -> dict[str, float]:
    """Everything that is read off z alone."""
    z = {name: embed(encoder, sample, batch_size=250, device=device) for name, sample in judges.samples.items()}
    return judges.judge(z, sections)


def judge_pixels(judges: Judges) -> dict[str, float]:
    """The same of raw pixels."""
    return judges.judge({name: pixels(sample, 250) for name, sample in judges.samples.items()}, 1)


def judge_untrained(config: Config, judges: Judges, device: torch.device) -> dict[str, float]:
    """The same of the encoder that the run starts from, its BatchNorm set by training images."""
    model = start_run(config, "claims", device).model
    images = to_float(judges.samples["train"].gather(np.arange(min(512, len(judges.samples["train"])))))
    calibrate_batchnorm(model.encoder, images.to(device))
    return judge_encoder(model.encoder, judges, model.sections, device)


def train_to_marks(
    config: Config, data: PreparedData, marks: list[int], device: torch.device
) -> Iterator[tuple[int, SodaNetwork]]:
    """(images, EMA model) at each mark (ascending; the last is the end of the schedule). The model goes on to be trained."""
    run = start_run(config, "claims", device)
    run.model.train()
    size, split = config.train.batch_size, data.split("train")
    partners = find_partners(data, split, config.views.pairs)
    reader = Reader(split, partners, config.train, posed=config.model.cameras.rays)
    due = {-(-mark // size): mark for mark in marks}
    for batch in reader.stream(0, max(due)):
        optimise(run, run.model, config, batch.to(device))
        if run.step in due:
            yield due[run.step], run.ema


def measure(model: SodaNetwork, config: Config, data: PreparedData, judges: Judges, device: torch.device) -> dict[str, float]:
    """What is read off z, and how much the denoiser uses it: the loss with another image's z over that with its own, minus 1."""
    use = measure_use(model, read_held_out(data, config, USED).to(device), 0)
    return judge_encoder(model.encoder, judges, model.sections, device) | {"usage_gap": use.gap, "val_loss": use.loss}
