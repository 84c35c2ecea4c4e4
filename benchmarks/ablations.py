"""`make ablations`: the paper's claims at small scale, each setting on and off, several seeds, equal training time.

Every finished run is kept in runs/ablations/ and not done again, so that the command can be stopped and repeated. It writes
docs/ablations.md whenever a run ends. The data are what data/prepared holds, the other settings params.yaml's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.ablation_report import Results, write_report
from benchmarks.ablation_variants import BASE, VARIANTS
from soda.common.files import write_json
from soda.common.images import to_float
from soda.common.seeds import seed_of
from soda.config import Config, from_dict, load, to_dict
from soda.data.dataset import PreparedData
from soda.evaluation.baselines import initial_encoder
from soda.evaluation.disentanglement import FactorData, disentanglement
from soda.evaluation.factors import Factors, read_factors
from soda.evaluation.latents import Sample, draw_sample, embed, latent_use
from soda.evaluation.metrics import FixedNetwork
from soda.evaluation.probe import Features, linear_probe
from soda.evaluation.reconstruct import Judge, reconstruct
from soda.evaluation.sections import probe_factor, section_probes
from soda.model.network import SodaNetwork
from soda.training.batches import Reader
from soda.training.step import optimise, start_run

CPU = torch.device("cpu")
LIMITS = {"train": 6000, "val": 1000, "test": 2000}
DRAWN, USED, DCI_PICTURES, MAX_FACTORS = 200, 256, 1000, 6
L2 = (1e-3, 1e-2)


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


def train_for(config: Config, split: Any, seconds: float) -> tuple[SodaNetwork, int]:
    """(EMA model, images seen) after so many seconds of processor time a thread, which other programs do not shorten.

    The learning rate decays over the time: at every step the number of images is what the speed so far will reach. Its warm-up
    takes a tenth of that, or what the settings say where this is less.
    """
    run = start_run(config, "ablation", CPU)
    run.model.train()
    size, threads = config.train.batch_size, torch.get_num_threads()
    reader, started = Reader(split, None, seed=config.train.seed, batch_size=size), time.process_time()
    while True:
        share = (time.process_time() - started) / threads / seconds
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
    judge = Judge(FixedNetwork(instrument), device=CPU, batch_size=50)
    near = judge.nearness(reconstruct(model, z["test"].x[few], seed=0, batch_size=50), test.gather(few))
    found |= {"psnr": float(near.psnr.mean()), "ssim": float(near.ssim.mean()), "lpips_like": float(near.lpips_like.mean())}
    found["usage_gap"] = latent_use(model, to_float(test.gather(np.arange(min(USED, len(test))))), seed=0, batch_size=64).gap
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
        x = {split: values[:DCI_PICTURES].double().numpy() for split, values in latents.items()}
        y = {split: {name: factors.codes[split][name][:DCI_PICTURES] for name in names} for split in latents}
        scores = disentanglement(FactorData(x, y), jobs=torch.get_num_threads())
        found |= {"dci_d": scores.dci_d, "dci_c": scores.dci_c, "modularity": scores.modularity}
    return found


def run_key(config: Config, seconds: float, data: PreparedData) -> str:
    """What a finished run is known by: settings, time, data, threads, and the code that trains and measures."""
    settings = to_dict(config)
    parts = [settings["model"], settings["diffusion"], settings["views"], settings["train"], seconds, data.version]
    digest = hashlib.sha256(yaml.safe_dump([*parts, torch.get_num_threads()], sort_keys=True).encode())
    root = Path(__file__).parents[1]
    for folder in ("soda/model", "soda/diffusion", "soda/training"):
        for file in sorted((root / folder).rglob("*.py")):
            digest.update(file.read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()[:16]


def shuffled_sample(split: Any, limit: int) -> Sample:
    """A random part of the split in random order: probes and forests look at the first so many."""
    sample = draw_sample(split, limit, 0)
    return Sample(split, np.random.default_rng(seed_of("ablations", split.name)).permutation(sample.indices))


def ablate(
    base: Config, data: PreparedData, *, seconds: float, seeds: int, names: list[str], runs: Path, report: Path, command: str
) -> Results:
    """Train and measure every variant of `names` with every seed, but for those that `runs` has; write `report` after each.

    Seed by seed, so that a run that is stopped has something of everything.
    """
    shape = {"dataset.image_size": data.image_size, "dataset.channels": data.channels}
    threads = torch.get_num_threads()
    base = varied(base, {**shape, **BASE, "train.device": "cpu", "train.threads": threads})
    samples = {name: shuffled_sample(data.split(name), limit) for name, limit in LIMITS.items()}
    factors = read_factors(data, samples)
    results: Results = {name: [] for name in VARIANTS}
    for seed in range(seeds):
        for name in names:
            config = varied(base, {**VARIANTS[name].changes, "train.seed": seed})
            file = runs / f"{name}-{seed}-{run_key(config, seconds, data)}.json"
            if not file.exists():
                model, images = train_for(config, data.split("train"), seconds)
                found = {"images": float(images), **measure(model, config, samples, factors, len(data.label_names))}
                write_json(file, {"variant": name, "seed": seed, "metrics": found})
                print(f"{name}, seed {seed}: " + ", ".join(f"{key} {value:.4g}" for key, value in found.items()), flush=True)
            results[name].append(json.loads(file.read_text())["metrics"])
            write_report(
                report,
                results,
                base=base,
                dataset=data.summary["dataset"],
                data_version=data.version,
                command=command,
                seconds=seconds,
            )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations", description=__doc__)
    parser.add_argument("--seconds", type=float, default=240.0, help="of training for each run (240)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), help="these settings alone")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--prepared", type=Path, default=Path("data/prepared"))
    parser.add_argument("--runs", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--report", type=Path, default=Path("docs/ablations.md"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    ablate(
        load(),
        PreparedData(args.prepared),
        seconds=args.seconds,
        seeds=args.seeds,
        names=args.only or list(VARIANTS),
        runs=args.runs,
        report=args.report,
        command=f'make ablations ARGS="--seconds {args.seconds:g} --seeds {args.seeds} --threads {args.threads}"',
    )


if __name__ == "__main__":
    main()
