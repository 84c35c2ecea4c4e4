"""The published scores of disentanglement for a trained model and for what it must be compared with, on data with factors.

    python -m benchmarks.disentanglement                                     # models/soda on data/prepared
    python -m benchmarks.disentanglement --model zoo/avatars --prepared DIR  # another one
    python -m benchmarks.disentanglement --split val --only soda features --seeds 1 --points 3000  # to choose by

Writes docs/results/disentanglement.json, {data: {method: figures}}, as methods are done, keeping what else is there, and prints
the table. A seed is a draw of points (and of trees, votes, a rotation); the model is the same. VAEs are trained here, their beta
chosen on validation; their trainings go on from where they were in runs/.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.representations import Beside, Vectors, encoded
from soda import layout
from soda.common.errors import InputError
from soda.common.files import write_json
from soda.common.seeds import seed_of
from soda.data.dataset import PreparedData
from soda.evaluation.disentanglement.dci import FactorData
from soda.evaluation.disentanglement.dci_boosted import boosted_dci
from soda.evaluation.disentanglement.protocol import SCORES, Points, averaged, score_once
from soda.evaluation.factors import Factors, read_factors
from soda.evaluation.samples import Sample
from soda.training.checkpoint import load_model

OUT = layout.RESULTS / "disentanglement.json"
MAX_FACTORS = 12
JUDGED_ON = Points(3000, 300, 1500)  # when a beta is chosen


def draw_points(data: PreparedData, points: Points, split: str, seed: int) -> dict[str, Sample]:
    """Images of "train", "val" and "test". Those to be asked ("test") come from `split`; "val" is then halved where it is val."""

    def some(name: str, count: int, skip: int = 0) -> Sample:
        order = np.random.default_rng(seed_of("points", name, seed)).permutation(len(data.split(name)))[skip : skip + count]
        return Sample(data.split(name), order)

    held = len(data.split("val"))
    val = min(points.val, held // 5 if split == "val" else held)
    return {
        "train": some("train", points.train),
        "val": some("val", val),
        "test": some(split, points.test, val * (split == "val")),
    }


def known_factors(data: PreparedData, samples: dict[str, Sample]) -> Factors:
    """Those that can be learnt, at most MAX_FACTORS. Raises InputError where they are fewer than two."""
    factors = read_factors(data, samples)
    names = factors.commonest(factors.learnable, MAX_FACTORS) if factors else []
    if factors is None or len(names) < 2:
        raise InputError(f"disentanglement takes two known factors; the data have {', '.join(names) or 'none'}")
    return factors.only(names, {split: np.arange(len(sample)) for split, sample in samples.items()})


def judged(data: PreparedData) -> tuple[dict[str, Sample], Factors]:
    """What a beta is chosen on."""
    samples = draw_points(data, JUDGED_ON, "val", 0)
    return samples, known_factors(data, samples)


def measure(beside: Beside, method: str, points: Points, split: str, seeds: int) -> dict[str, Any]:
    """The means of all scores over seeds, their deviations, and how they were come by. Prints them."""
    started, runs, shape = time.process_time(), [], (0, 0)
    for seed in range(seeds):
        samples = draw_points(beside.data, points, split, seed)
        vectors: Vectors = beside.methods[method](samples, seed)
        runs.append(score_once(FactorData(vectors, known_factors(beside.data, samples).codes), seed=seed))
        shape = vectors["train"].shape
    found = {**averaged(runs), "components": shape[1], "points": shape[0], "split": split}
    took = time.process_time() - started
    print(f"{method}: " + ", ".join(f"{key} {found[key]:.3f}" for key in SCORES) + f" ({took:.0f} s)", flush=True)
    return found


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """A Markdown table of each data set."""
    lines = []
    for data, methods in results.items():
        lines += [f"\n{data}\n", "| | " + " | ".join(SCORES) + " |", "|---" * (len(SCORES) + 1) + "|"]
        lines += [f"| {name} | " + " | ".join(f"{row[key]:.3f}" for key in SCORES) + " |" for name, row in methods.items()]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.disentanglement", description=__doc__)
    parser.add_argument("--model", type=Path, default=layout.MODEL)
    parser.add_argument("--prepared", type=Path, default=layout.PREPARED)
    parser.add_argument("--runs", type=Path, default=layout.RUNS)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--name", help="what the data are called in the file (the data set's own name)")
    parser.add_argument("--points", type=int, default=Points().train, help="to fit on; half as many are asked")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split", choices=("val", "test"), default="test", help="of the points that are asked; choose on val")
    parser.add_argument("--only", nargs="*", help="these methods")
    parser.add_argument("--vae-share", type=float, default=1.0, help="of the model's operations that each VAE has; 0: no VAEs")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    data = PreparedData(args.prepared)
    model, trained = load_model(args.model)
    samples, factors = judged(data)

    def judge(encoder: torch.nn.Module) -> float:
        vectors = {name: encoded(encoder, sample) for name, sample in samples.items()}
        return boosted_dci(FactorData(vectors, factors.codes), seed=0)[0]

    beside = Beside(model.eval(), trained, data, args.runs, args.vae_share, judge)
    methods = args.only or list(beside.methods)
    if unknown := set(methods) - set(beside.methods):
        raise SystemExit(f"no such method: {', '.join(sorted(unknown))}; there are {', '.join(beside.methods)}")
    points = replace(Points(), train=args.points, test=args.points // 2)
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    name = args.name or data.summary["dataset"]
    rows = results.setdefault(name, {})
    for method in methods:
        rows[method] = measure(beside, method, points, args.split, args.seeds)
        write_json(args.out, results)
    print(table({name: rows}))


if __name__ == "__main__":
    main()
