"""One run of the ablations: train a setting for its time, and measure it. What a kept run is known by is this module's code."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from soda.common.images import to_float
from soda.common.seeds import seed_of
from soda.config import Config, from_dict, to_dict
from soda.data.pairs import Partners
from soda.evaluation.baselines.untrained import initial_encoder
from soda.evaluation.dci import FactorData, disentanglement
from soda.evaluation.factors import Factors
from soda.evaluation.image_metrics import FixedNetwork, ImageJudge
from soda.evaluation.linear_probe import Features, linear_probe
from soda.evaluation.measures.latent import use_of_z
from soda.evaluation.reconstruct import reconstruct
from soda.evaluation.samples import Sample, draw_sample, embed
from soda.evaluation.section_probes import probe_factor, section_probes
from soda.inference.drawer import Drawer
from soda.model.network import SodaNetwork
from soda.training.batches import Reader
from soda.training.step import Run, optimise, start_run

LIMITS = {"train": 6000, "val": 1000, "test": 2000}
CPU = torch.device("cpu")
DRAWN, USED, DCI_IMAGES, MAX_FACTORS = 200, 256, 1000, 6
L2 = (1e-3, 1e-2)
Watch = Callable[[Run, float], object]


def varied(base: Config, changes: dict[str, Any]) -> Config:
    """`base` with settings replaced by dotted key. Raises ConfigError for a key or value that is not possible."""
    values = to_dict(base)
    for key, value in changes.items():
        *groups, name = key.split(".")
        place = values
        for group in groups:
            place = place[group]
        place[name] = value
    return from_dict(values)


def train_for(
    config: Config, split: Any, seconds: float, partners: Partners | None = None, watch: Watch = lambda run, share: None
) -> tuple[SodaNetwork, int]:
    """(EMA model, images seen) after so many seconds of processor time a thread, which other programs do not shorten.

    The learning rate decays over the time: at every step the number of images is what the speed so far will reach. Its warm-up
    takes a tenth of that, or what the settings say where this is less. partners: of images with cameras. watch: called before
    every step and at the end, with the share of the time that is over.
    """
    run = start_run(config, "ablation", CPU)
    run.model.train()
    size, threads = config.train.batch_size, torch.get_num_threads()
    reader = Reader(split, partners, seed=config.train.seed, batch_size=size, posed=partners is not None)
    started = time.process_time()
    while True:
        share = (time.process_time() - started) / threads / seconds
        watch(run, share)
        if share >= 1 and run.step:
            return run.ema, run.step * size
        images = round(run.step * size / share) if run.step else config.train.images
        warmup = min(config.train.warmup_images, images // 10)
        settings = replace(config, train=replace(config.train, images=max(size, images), warmup_images=warmup))
        optimise(run, run.model, settings, reader.at(run.step))


def measure(
    model: SodaNetwork, config: Config, samples: dict[str, Sample], factors: Factors | None, classes: int
) -> dict[str, float]:
    """Probe, reconstruction and use of z; with factors also their probes, what sections differ in, and DCI."""
    z = {name: embed(model.encoder, sample, batch_size=250, device=CPU) for name, sample in samples.items()}
    found: dict[str, float] = {}
    if len(np.unique(z["train"].labelled().y)) > 1 and len(z["test"].labelled().y):
        found["probe"] = linear_probe(z["train"], z["val"], z["test"], classes=classes, l2=L2).test_top1
    test = samples["test"]
    few = np.arange(min(DRAWN, len(test)))
    # The same instrument for all runs: an encoder that no run trained.
    instrument = initial_encoder(varied(config, {"model.latent_dim": 128, "train.seed": 0}))
    judge = ImageJudge(FixedNetwork(instrument), batch_size=50)
    drawer = Drawer(model, batch_size=50, progress=False)
    near = judge.nearness(reconstruct(drawer, z["test"].x[few], seed=0), test.gather(few))
    found |= near.means()
    used = to_float(test.gather(np.arange(min(USED, len(test)))))
    found["usage_gap"] = use_of_z(model, used, seed=0, batch_size=64).gap
    if factors and factors.learnable:
        found |= _measure_factors(model, z, factors)
    return found


def _measure_factors(model: SodaNetwork, z: dict[str, Features], factors: Factors) -> dict[str, float]:
    names = factors.commonest(factors.learnable, MAX_FACTORS)
    latents = {split: features.x for split, features in z.items()}
    lift = section_probes(latents, factors, names, model.sections, L2[:1]).lift
    found = {
        "factor_probe": float(np.mean([probe_factor(latents, factors, name, L2) for name in names])),
        "section_spread": float((lift.max(0) - lift.min(0)).mean()),
    }
    if len(names) > 1:
        x = {split: values[:DCI_IMAGES].double().numpy() for split, values in latents.items()}
        y = {split: {name: factors.codes[split][name][:DCI_IMAGES] for name in names} for split in latents}
        scores = disentanglement(FactorData(x, y), jobs=torch.get_num_threads())
        found |= {"dci_d": scores.dci_d, "dci_c": scores.dci_c, "modularity": scores.modularity}
    return found


def shuffled_sample(split: Any, limit: int) -> Sample:
    """A random part of the split in random order: probes and forests look at the first so many."""
    sample = draw_sample(split, limit, 0)
    return Sample(split, np.random.default_rng(seed_of("ablations", split.name)).permutation(sample.indices))
