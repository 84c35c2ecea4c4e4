"""One run of the campaign, from its settings to its rows. Not in `__main__`, which spawned processes cannot import from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from benchmarks.claims.arms import STUDIES
from benchmarks.claims.results import PIXELS, TEST, UNTRAINED
from benchmarks.claims.training import Judges, judge_pixels, judge_untrained, measure, train_to_marks
from soda.config import Config, from_dict
from soda.config.compose import compose
from soda.data.dataset import PreparedData
from soda.training.distributed import choose_device

Job = tuple[str, str, int]  # study, arm, seed


def config_of(study: str, arm: str, seed: int, images: int) -> Config:
    """The settings of a run, from conf/ alone. Raises ConfigError for an override that is not possible."""
    longer, changes = 1, []
    if arm in STUDIES[study].arms:
        chosen = STUDIES[study].arms[arm]
        longer, changes = chosen.longer, list(chosen.changes)
    counts = [f"train.images={images * longer}", f"train.seed={seed}", "train.threads=1"]
    return from_dict(compose([*STUDIES[study].overrides, *changes, *counts]))


def marks_of(images: int, longer: int) -> list[int]:
    """Where a run is measured: a quarter, a half and all of `images`, and the end of a longer one."""
    return sorted({images // 4, images // 2, images, images * longer})


def run_job(job: Job, *, folder: Path, images: int, device: str, key: str) -> list[dict[str, Any]]:
    """Train and measure one arm with one seed: a row for each mark."""
    torch.set_num_threads(1)
    study, arm, seed = job
    data, config, on = PreparedData(folder / study / "prepared"), config_of(study, arm, seed, images), choose_device(device)
    judges = Judges.of(data)

    def row(seen: int, metrics: dict[str, float], name: str = arm) -> dict[str, Any]:
        rounded = {metric: round(value, 6) for metric, value in metrics.items()}
        about = {"study": study, "arm": name, "seed": seed, "images": seen, "key": key, "device": on.type}
        return {**about, "metrics": rounded}

    if arm == PIXELS:
        return [row(0, judge_pixels(judges))]
    if arm == UNTRAINED:
        return [row(0, judge_untrained(config, judges, on))]
    rows = []
    marks = marks_of(images, STUDIES[study].arms[arm].longer)
    for seen, model in train_to_marks(config, data, marks, on):
        rows.append(row(seen, measure(model, config, data, judges, on)))
        if arm == "base" and seen == marks[-1]:
            rows.append(row(seen, measure(model, config, data, Judges.of(data, test=True), on), TEST))
    return rows
