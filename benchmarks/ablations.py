"""`make ablations`: the paper's claims at small scale, each setting on and off, several seeds, equal training time.

Every finished run is kept in runs/ablations/ and not done again, so that the command can be stopped and repeated. It writes
docs/ablations.md whenever a run ends. The data are what data/prepared holds, the other settings params.yaml's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import torch
import yaml

from benchmarks.ablation_report import Results, write_report
from benchmarks.ablation_run import LIMITS, measure, shuffled_sample, train_for, varied
from benchmarks.ablation_variants import BASE, VARIANTS
from soda import layout
from soda.common.files import write_json
from soda.common.fingerprint import code_fingerprint
from soda.config import Config, load, to_dict
from soda.data.dataset import PreparedData
from soda.evaluation.factors import read_factors


def run_key(config: Config, seconds: float, data: PreparedData) -> str:
    """What a finished run is known by: settings, time, data, threads, and the code that trains and measures."""
    settings = to_dict(config)
    parts = [settings["model"], settings["diffusion"], settings["views"], settings["train"], seconds, data.version]
    parts += [torch.get_num_threads(), code_fingerprint("benchmarks.ablation_run")]
    return hashlib.sha256(yaml.safe_dump(parts, sort_keys=True).encode()).hexdigest()[:16]


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
    parser.add_argument("--prepared", type=Path, default=layout.PREPARED)
    parser.add_argument("--runs", type=Path, default=layout.ABLATION_RUNS)
    parser.add_argument("--report", type=Path, default=layout.ABLATIONS)
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
