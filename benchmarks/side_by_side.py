"""Several trainings side by side on one GPU, to find out, a minute a run, what a recipe is worth.

    python -m benchmarks.side_by_side --plan plan.yaml --compose runs.json   # where Hydra is
    python -m benchmarks.side_by_side --settings runs.json --out DIR         # where the GPU is
    python -m benchmarks.side_by_side --judge PREPARED --out DIR             # anywhere: DIR/judged.json, on validation

The plan: name -> {prepared: a folder of prepared data, overrides: [...]}. Each run ends as a model folder DIR/NAME. It takes no
verdict of a gate and keeps no checkpoint.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.claims.training import Judges, judge_encoder
from benchmarks.gpu_step import reader_of
from benchmarks.novel_views import on_validation
from soda.common.files import write_json
from soda.config import Config, compose, from_dict
from soda.data.dataset import PreparedData
from soda.evaluation.baselines.untrained import initial_encoder
from soda.evaluation.image_metrics import FixedNetwork
from soda.evaluation.view_synthesis import measure_novel_views
from soda.inference.drawer import Drawer
from soda.model.network import SodaNetwork
from soda.training.checkpoint import load_model, save_model
from soda.training.resident import BLOCK, Resident, ResidentRun, interleaved
from soda.training.step import start_run
from soda.training.teacher import lessons_of

REPORT = 32  # blocks between two lines of a run


def train(name: str, config: Config, images: Resident, data: PreparedData, out: Path) -> Iterator[None]:
    """One run, a block at a time."""
    device, size, reader = images.pixels.device, config.train.batch_size, reader_of(config, data)
    run = start_run(config, name, device, 0 if images.lessons is None else images.lessons.shape[1])
    resident, steps, began = ResidentRun(run, config, reader, images), -(-config.train.images // size), time.perf_counter()
    if resident.cuda:
        resident.capture()
    yield
    while run.step < steps:
        resident.advance(min(BLOCK // 8, steps - run.step))
        if run.step % (REPORT * BLOCK) == 0:
            loss, spent = resident.read_losses().mean(), time.perf_counter() - began
            print(f"{name}: {run.step * size:>9,} images, loss {loss:.4f}, {spent:.0f} s", flush=True)
        yield
    with resident.on_stream():
        save_model(out / name, run.ema, config, data_version=data.version, images=run.step * size)
    print(f"{name}: saved after {time.perf_counter() - began:.0f} s", flush=True)


def run_plan(plan: dict[str, dict[str, Any]], out: Path, device: torch.device, at_once: int, runs: Path) -> None:
    """All trainings of {name: {prepared, settings}}; runs that share data and what is read of them share it on the device."""
    placed: dict[tuple[str, bool, str], Resident] = {}
    works = []
    for name, each in plan.items():
        config, data = from_dict(each["settings"]), PreparedData(Path(each["prepared"]))
        posed, teacher = config.model.cameras.rays, config.train.teacher
        key = (each["prepared"], posed, teacher.path)
        if key not in placed:
            lessons = lessons_of(teacher, data, runs)
            placed[key] = Resident.of(data.split("train"), device, posed=posed, lessons=lessons)
        works.append(partial(train, name, config, placed[key], data, out))
    for _ in interleaved(works, at_once):
        pass


def views_of(model: SodaNetwork, config: Config, data: PreparedData) -> dict[str, float]:
    """How well views of validation objects are drawn: one target of each task, two samples."""
    instrument = FixedNetwork(initial_encoder(from_dict(compose(["model=tiny", f"dataset.channels={data.channels}"]))))
    protocol = replace(config.evaluate, view_targets=1, view_samples=2, seed=0)
    found = measure_novel_views(Drawer(model, batch_size=200), on_validation(data), instrument, protocol)
    return {} if found is None else {key: value for key, value in found.metrics.items() if isinstance(value, float)}


def judge(out: Path, prepared: Path) -> dict[str, dict[str, float]]:
    """What is read off each model's z, on validation, by the judges of the ablations, and what views a model with cameras draws.

    Goes on where it was."""
    file = out / "judged.json"
    found: dict[str, dict[str, float]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    data = PreparedData(prepared)
    judges = Judges.of(data)
    for folder in sorted(each.parent for each in out.glob("*/model.safetensors")):
        if folder.name not in found:
            model, config = load_model(folder)
            found[folder.name] = judge_encoder(model.encoder, judges, model.sections, torch.device("cpu"))
            if config.model.cameras.pose:
                found[folder.name] |= views_of(model.eval(), config, data)
            write_json(file, found)
            print(folder.name + ": " + ", ".join(f"{key} {value:.3f}" for key, value in found[folder.name].items()), flush=True)
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.side_by_side", description=__doc__)
    parser.add_argument("--plan", type=Path, help="YAML, as above")
    parser.add_argument("--compose", type=Path, metavar="FILE", help="write the settings there and do nothing else")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="what --compose wrote")
    parser.add_argument("--out", type=Path, default=Path("runs/side_by_side"))
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where a teacher's vectors are kept")
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--judge", type=Path, metavar="PREPARED", help="judge the models of --out on these data, train none")
    args = parser.parse_args(argv)
    if args.judge:
        judge(args.out, args.judge)
        return
    if args.plan:
        given = yaml.safe_load(args.plan.read_text(encoding="utf-8"))
        plan = {n: {"prepared": each["prepared"], "settings": compose(each["overrides"])} for n, each in given.items()}
    else:
        plan = json.loads(args.settings.read_text(encoding="utf-8"))
    if args.compose:
        write_json(args.compose, plan)
        return
    run_plan(plan, args.out, torch.device(args.device), args.at_once, args.runs)


if __name__ == "__main__":
    main()
