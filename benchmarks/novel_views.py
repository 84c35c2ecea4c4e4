"""Ways to learn novel views, each trained for the same processor time and measured on validation objects.

The data are what data/prepared holds (with cameras), the other settings params.yaml's. On one thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from soda.config import Config, from_dict, load, to_dict
from soda.data.dataset import PreparedData
from soda.data.pairs import find_partners
from soda.evaluation.baselines.untrained import initial_encoder
from soda.evaluation.image_metrics import FixedNetwork
from soda.evaluation.view_synthesis import Splits, measure_novel_views
from soda.inference.drawer import Drawer
from soda.layout import PREPARED
from soda.model.network import SodaNetwork
from soda.training.batches import Reader
from soda.training.held_out import read_held_out
from soda.training.step import optimise, start_run
from soda.training.usage import measure_use_of_pose

CPU = torch.device("cpu")
VARIANTS: dict[str, dict[str, Any]] = {
    "pooled": {"model.cameras.view_attention": []},
    "attention": {"model.cameras.view_attention": [1, 2]},
    "even_times": {"diffusion.time_power": 1.0},
    "rays_alone": {"model.cameras.pose": False},
    "no_reconstruction": {"views.pairs.reconstruct": 0.0},
}
"""Of params.yaml; `pooled` are the settings themselves but for the attention, which is what `attention` adds."""
REPORTS = 8  # lines a run, of how the pose comes to be used


def on_validation(data: PreparedData) -> Splits:
    """Validation objects in the place of test's, which stay unseen; that the baselines' k is chosen on them is to their good."""
    val = data.split("val")
    return Splits(data.split("train"), val, val)


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


def train_for(config: Config, data: PreparedData, seconds: float, name: str) -> tuple[SodaNetwork, int]:
    """(EMA model, images seen) after so many seconds of processor time; the learning rate decays over them."""
    run, settings = start_run(config, "novel views", CPU), config.train
    run.model.train()
    split, held_out = data.split("train"), read_held_out(data, config, 486)
    partners = find_partners(data, split, config.views.pairs)
    assert partners is not None
    size, started, reported = settings.batch_size, time.process_time(), 0
    for batch in Reader(split, partners, settings, posed=True).stream(0, sys.maxsize):
        done = (time.process_time() - started) / seconds
        if done * REPORTS >= reported + 1 or done >= 1:
            reported += 1
            use = measure_use_of_pose(run.ema, held_out, 0)
            print(f"  {name} {run.step * size:7d} images: " + ", ".join(f"{k} {v:.2f}" for k, v in use.items()), flush=True)
        if done >= 1:
            break
        images = round(run.step * size / done) if run.step and done else settings.images
        train = replace(settings, images=max(size, images), warmup_images=min(settings.warmup_images, images // 10))
        optimise(run, run.model, replace(config, train=train), batch)
    return run.ema, run.step * size


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.novel_views", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="of training for each run (600)")
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), help="these variants alone")
    parser.add_argument("--prepared", type=Path, default=PREPARED)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data, base = PreparedData(args.prepared), load()
    instrument = FixedNetwork(initial_encoder(varied(base, {"model.cameras": {}, "model.latent_dim": 128})))
    for name in args.only or list(VARIANTS):
        config = varied(base, {**VARIANTS[name], "train.device": "cpu", "train.threads": 1})
        model, images = train_for(config, data, args.seconds, name)
        drawer = Drawer(model.eval(), batch_size=100, progress=False)
        found = measure_novel_views(drawer, on_validation(data), instrument, base.evaluate)
        assert found is not None
        figures = {k: v for k, v in found.metrics.items() if isinstance(v, float) and ("psnr" in k or "ssim@" in k)}
        print(f"{name}: {images} images, " + ", ".join(f"{key} {value:.3f}" for key, value in figures.items()), flush=True)


if __name__ == "__main__":
    main()
