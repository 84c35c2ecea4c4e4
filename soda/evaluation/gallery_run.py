"""The gallery of a model: directions found, all measured, and what it does with test pictures drawn for the report."""

from __future__ import annotations

import logging
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from soda.config import EvaluateConfig
from soda.evaluation.factors import Factors
from soda.evaluation.gallery import measure_gallery
from soda.evaluation.gallery_scene import Subject
from soda.inference.directions import Directions
from soda.inference.discovery import MAX_LATENTS
from soda.inference.soda import SODA
from soda.viz.grids import spread_picks
from soda.viz.sheets import direction_sheet, grid, save_sheet

log = logging.getLogger(__name__)

WALKS, FRAMES = 5, 10
MIXES = 5
DIRECTIONS, MOVED = 8, 2


def run_gallery(
    model_dir: Path, subject: Subject, factors: Factors | None, config: EvaluateConfig, folder: Path
) -> tuple[dict[str, Any], Directions]:
    """The groups of `measure_gallery` and the directions, found without labels, that it measured; figures go into `folder`."""
    model = SODA(subject.model, subject.trained, model_dir, output="array")
    started = time.perf_counter()
    z, test = subject.latents["train"].x, subject.samples["test"]
    chosen = np.sort(np.random.default_rng(config.seed).permutation(len(z))[:MAX_LATENTS])
    found = model.find_directions(z=z[chosen], seed=config.seed, save=False)
    log.info("gallery: directions took %.0f s", time.perf_counter() - started)
    draw_shown(model, test.gather(spread_picks(test.labels, 2 * max(WALKS, MIXES), config.seed)), folder, config.seed)
    steps = torch.stack([each.sigma * each.vector.float() for each in found])
    return measure_gallery(subject, steps, factors, config, folder), found


def draw_shown(model: SODA, pictures: np.ndarray, folder: Path, seed: int) -> None:
    """Draw walks.png, mix_cuts.png and directions.png of test pictures (N, S, S, C) uint8 into `folder`.

    What a model or so few pictures do not allow (mixes without sections, walks of a single picture) is left out.
    """
    if len(pictures) > 1:
        _walks(model, pictures[: 2 * WALKS], folder / "walks.png", seed)
        if model.network.denoiser.layer_modulation:
            _mixes(model, pictures[: 2 * MIXES], folder / "mix_cuts.png", seed)
    _directions(model, pictures[:MOVED], folder / "directions.png", seed)


def _pairs(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first half beside the second: neighbours in the list may be of one kind."""
    half = len(pictures) // 2
    return pictures[:half], pictures[half : 2 * half]


def _walks(model: SODA, pictures: np.ndarray, path: Path, seed: int) -> None:
    rows = [list(model.interpolate(np.stack(pair), frames=FRAMES - 1, seed=seed)) for pair in zip(*_pairs(pictures), strict=True)]
    save_sheet(grid(rows), path)


def _mixes(model: SODA, pictures: np.ndarray, path: Path, seed: int) -> None:
    rows = [
        [content, *model.mix(style, content, every_cut=True, seed=seed), style]
        for style, content in zip(*_pairs(pictures), strict=True)
    ]
    cuts = [f"{cut} from style" for cut in range(model.sections + 1)]
    save_sheet(grid(rows, column_labels=["content", *cuts, "style"], lead_column=True), path)


def _directions(model: SODA, pictures: np.ndarray, path: Path, seed: int) -> None:
    units: dict[int | str, float] = dict.fromkeys(range(min(DIRECTIONS, len(model.directions))), 1.0)
    save_sheet(direction_sheet(partial(model.edit, pictures, seed=seed), model.directions, units, side=64), path)
