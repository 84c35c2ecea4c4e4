"""Novel views of held-out objects: how near they come, beside what a lookup would give, with wrong poses and wrong sources."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from soda.common.images import to_float, to_uint8
from soda.config import EvaluateConfig
from soda.data.dataset import Split
from soda.data.rendering.procedural import random_object
from soda.data.rendering.views import drawer as renderer
from soda.data.rendering.views import picture
from soda.evaluation.baselines.lookup import lookups
from soda.evaluation.image_metrics import FixedNetwork, ImageJudge, Nearness
from soda.evaluation.measures.novel_views import COUNTS
from soda.evaluation.novel_tasks import OBJECT, Tasks, Views, angles_between, choose_tasks
from soda.geometry.cameras import camera, focal_length, upper_half_sphere
from soda.inference.drawer import Drawer, Sampling
from soda.model.network import SodaNetwork

ANGLES = (0, 30, 60, 90, 180)
"""Degrees between source and target: the bounds of the table by angle."""
OTHER_OBJECTS = 72  # procedural meshes, which no training set has

Metrics = dict[str, Any]


@dataclass(frozen=True)
class Drawn:
    """Views of all tasks, (T, S, S, C) uint8: the mean of the samples, an estimate of the expected view, and the first one."""

    mean: np.ndarray
    sample: np.ndarray


@dataclass(frozen=True)
class NovelViews:
    """What was measured, and the views behind it. drawn: by number of source views, posed; tasks: what was asked for."""

    metrics: Metrics
    tasks: Tasks
    drawn: dict[int, Drawn]
    psnr: np.ndarray  # (T,) of the mean views from one posed source


class ViewSampler:
    """Draws the target views of tasks, `samples` times each, always from the same noise."""

    def __init__(self, drawer: Drawer, *, samples: int, seed: int) -> None:
        self.drawer, self.samples, self.seed = drawer, samples, seed

    def __call__(self, sources: np.ndarray, targets: np.ndarray, source_cameras: np.ndarray | None) -> Drawn:
        """sources: (T, V, S, S, C) uint8; targets: (T, 16), cameras; source_cameras: (T, V, 16), None: not known."""
        views = torch.stack([to_float(each) for each in sources])  # (T, V, C, S, S)
        z, context = self.drawer.encode_views(views, None if source_cameras is None else torch.from_numpy(source_cameras))
        mean, first = torch.zeros(()), torch.zeros(())
        for k in range(self.samples):
            drawn = self.drawer.draw(z, sampling=Sampling(self.seed + k), cameras=torch.from_numpy(targets), context=context)
            mean, first = mean + drawn / self.samples, drawn if k == 0 else first
        return Drawn(to_uint8(mean), to_uint8(first))


def measure_novel_views(
    drawer: Drawer, train: Split, test: Split, network: FixedNetwork, config: EvaluateConfig
) -> NovelViews | None:
    """Draw `view_targets` views of every held-out object from 1, 2 and 4 others, posed and unposed, and judge them.

    None when no two held-out objects have views enough. network: what LPIPS-like distances are taken in.
    """
    seed = config.seed
    tasks = choose_tasks(test, targets=config.view_targets, sources=max(COUNTS), seed=seed)
    if tasks is None:
        return None
    judge = ImageJudge(network, batch_size=drawer.batch_size)
    draw = ViewSampler(drawer, samples=config.view_samples, seed=seed)
    truth, at = test.gather(tasks.targets), test.cameras[tasks.targets]
    given = test.gather(tasks.sources.ravel()).reshape(*tasks.sources.shape, *truth.shape[1:])  # (T, V, S, S, C)
    cameras = test.cameras[tasks.sources]
    found: Metrics = {"tasks": len(tasks), "objects": len(set(test.column(OBJECT)[tasks.targets].tolist()))}
    drawn, near = {}, {}
    for count in COUNTS:
        drawn[count] = draw(given[:, :count], at, cameras[:, :count])
        near[count] = judge.nearness(drawn[count].mean, truth)
        found |= _named(near[count], f"@{count}") | _named(judge.nearness(drawn[count].sample, truth), f"@{count}", "sample_")
        found |= _named(judge.nearness(draw(given[:, :count], at, None).mean, truth), f"@{count}", "unposed_")
    wrong = np.roll(at, 1 + len(at) // 2, axis=0)
    found["wrong_pose_psnr@1"] = _psnr(judge.nearness(draw(given[:, :1], wrong, cameras[:, :1]).mean, truth))
    strangers = test.gather(tasks.strangers)[:, None], test.cameras[tasks.strangers][:, None]
    found["shuffled_psnr@1"] = _psnr(judge.nearness(draw(strangers[0], at, strangers[1]).mean, truth))
    views = Views(train, seed)
    nearest = np.stack([views.nearest(each) for each in at])  # (T, O)
    bases = {name: judge.nearness(answers, truth) for name, answers in lookups(drawer, views, nearest, tasks, COUNTS).items()}
    found["baselines"] = {name: each.means() for name, each in bases.items()}
    found["baseline_angle"] = float(np.degrees(angles_between(train.cameras[nearest], at[:, None])).mean())
    found["by_angle"] = _by_angle(tasks.angles, near[1].psnr, bases["copy"].psnr)
    found["other_set"] = _other_set(draw, judge, drawer.network, seed)
    return NovelViews(found, tasks, drawn, near[1].psnr)


def _named(near: Nearness, ending: str = "", prefix: str = "") -> dict[str, float]:
    return {f"{prefix}{name}{ending}": mean for name, mean in near.means().items()}


def _psnr(near: Nearness) -> float:
    return float(near.psnr.mean())


def _by_angle(angles: np.ndarray, psnr: np.ndarray, copied: np.ndarray) -> Metrics:
    found = {}
    for low, high in pairwise(ANGLES):
        here = (angles >= low) & (angles < high)
        if here.any():
            figures = {"pictures": int(here.sum()), "psnr": float(psnr[here].mean()), "copy_psnr": float(copied[here].mean())}
            found[f"{low}-{high}"] = figures
    return found


def _other_set(draw: ViewSampler, judge: ImageJudge, model: SodaNetwork, seed: int) -> Metrics:
    """Procedural meshes as sources: one view each, drawn from the next camera and from that of no object of its kind."""
    generator = np.random.default_rng(seed)
    images, cameras = _procedural(generator, model)
    source, truth = images[:, 0], images[:, 1]
    drawn = draw(source[:, None], cameras[:, 1], cameras[:, :1])
    wrong = np.roll(np.arange(len(source)), 1)
    strange = draw(source[wrong][:, None], cameras[:, 1], cameras[wrong][:, :1])
    return {
        "objects": len(source),
        "psnr@1": _psnr(judge.nearness(drawn.mean, truth)),
        "sample_psnr@1": _psnr(judge.nearness(drawn.sample, truth)),
        "shuffled_psnr@1": _psnr(judge.nearness(strange.mean, truth)),
        "copy_psnr": _psnr(judge.nearness(source, truth)),
    }


def _procedural(generator: np.random.Generator, model: SodaNetwork) -> tuple[np.ndarray, np.ndarray]:
    """Two views each of random objects: (N, 2, S, S, C) uint8 and their cameras (N, 2, 16) float32."""
    focal = focal_length(45)
    images, cameras = [], []
    for _ in range(OTHER_OBJECTS):
        shape = renderer(random_object(generator)[0], "numpy")
        poses = upper_half_sphere(2, generator, elevation=(0, 85), distance=(2.65, 2.95))
        pair = [camera(pose, focal) for pose in poses]
        images.append([picture(shape, each, model.image_size)[0] for each in pair])
        cameras.append([each.numbers for each in pair])
    drawn = np.array(images)
    if model.channels == 1:
        drawn = drawn.mean(-1, keepdims=True).round().astype(np.uint8)
    return drawn, np.array(cameras, np.float32)
