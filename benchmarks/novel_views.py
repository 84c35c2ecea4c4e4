"""Ways to learn novel views, each trained for the same processor time and measured on validation objects.

The data are what data/prepared holds (with cameras), the other settings params.yaml's. On one thread.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from benchmarks.ablation_run import Watch, train_for, varied
from soda.config import Config, load
from soda.data.dataset import PreparedData
from soda.data.pairs import find_partners
from soda.evaluation.baselines.untrained import initial_encoder
from soda.evaluation.image_metrics import FixedNetwork
from soda.evaluation.view_synthesis import measure_novel_views
from soda.inference.drawer import Drawer
from soda.layout import PREPARED
from soda.training.held_out import read_held_out
from soda.training.step import Run
from soda.training.usage import measure_use_of_pose

VARIANTS: dict[str, dict[str, Any]] = {
    "pooled": {"model.cameras.view_attention": []},
    "attention": {"model.cameras.view_attention": [1, 2]},
    "even_times": {"diffusion.time_power": 1.0},
    "rays_alone": {"model.cameras.pose": False},
    "no_reconstruction": {"views.pairs.reconstruct": 0.0},
}
"""Of params.yaml; `pooled` are the settings themselves but for the attention, which is what `attention` adds."""
REPORTS = 8  # lines a run, of how the pose comes to be used


def reporter(name: str, data: PreparedData, config: Config) -> Watch:
    """Prints REPORTS times how the pose comes to be used."""
    held_out, due = read_held_out(data, config, 486), 1

    def watch(run: Run, share: float) -> None:
        nonlocal due
        if share * REPORTS >= due or share >= 1:
            due += 1
            use = measure_use_of_pose(run.ema, held_out, 0)
            seen = run.step * config.train.batch_size
            print(f"  {name} {seen:7d} images: " + ", ".join(f"{k} {v:.2f}" for k, v in use.items()), flush=True)

    return watch


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
        split, watch = data.split("train"), reporter(name, data, config)
        model, images = train_for(config, split, args.seconds, find_partners(data, split, config.views.pairs), watch)
        drawer = Drawer(model.eval(), batch_size=100, progress=False)
        found = measure_novel_views(drawer, split, data.split("val"), instrument, targets=4, samples=8, seed=0)
        assert found is not None
        figures = {k: v for k, v in found.metrics.items() if isinstance(v, float) and ("psnr" in k or "ssim@" in k)}
        print(f"{name}: {images} images, " + ", ".join(f"{key} {value:.3f}" for key, value in figures.items()), flush=True)


if __name__ == "__main__":
    main()
