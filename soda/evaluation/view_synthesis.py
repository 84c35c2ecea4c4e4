"""Novel views of held-out objects: how near they come, beside what a lookup would give, with wrong poses and wrong sources."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch

from soda.common.images import to_float, to_uint8
from soda.config import EvaluateConfig
from soda.data.dataset import Split
from soda.data.rendering.procedural import random_object
from soda.data.rendering.views import drawer as renderer
from soda.data.rendering.views import picture
from soda.evaluation.baselines.lookup import Lookup, choose_k, lookups
from soda.evaluation.baselines.one_step import draw_one_step
from soda.evaluation.image_metrics import FixedNetwork, ImageJudge, Nearness, frechet_distance
from soda.evaluation.measures.novel_views import COUNTS
from soda.evaluation.novel_tasks import OBJECT, Tasks, Views, angles_between, choose_tasks
from soda.evaluation.sharpness import detail, detail_distance
from soda.geometry.cameras import camera, focal_length, upper_half_sphere
from soda.inference.drawer import Drawer, Sampling
from soda.model.network import SodaNetwork

ANGLES = (0, 30, 60, 90, 180)
"""Degrees between source and target: the bounds of the table by angle."""
MAX_REAL = 2000  # validation views that sets of views are held against
OTHER_OBJECTS = 72  # procedural meshes, which no training set has

Metrics = dict[str, Any]


class Splits(NamedTuple):
    """Where baselines look things up, what choices are made on, and what is measured."""

    train: Split
    val: Split
    test: Split


@dataclass(frozen=True)
class Drawn:
    """Views of all tasks, (T, S, S, C) uint8: the mean of the samples, an estimate of the expected view, and the first one.

    variance: (T,), of a pixel over the samples, unbiased, mean over an image, data range 1; None of a single sample.
    """

    mean: np.ndarray
    sample: np.ndarray
    variance: np.ndarray | None = None


@dataclass(frozen=True)
class NovelViews:
    """What was measured, and the views behind it. drawn: by number of source views, posed; tasks: what was asked for."""

    metrics: Metrics
    tasks: Tasks
    drawn: dict[int, Drawn]
    psnr: np.ndarray  # (T,) of the mean views from one posed source
    truth: np.ndarray  # (T, S, S, C) uint8
    answers: dict[str, np.ndarray]  # the model's expected view and one sample from one source, and those of each baseline
    real: np.ndarray  # (M, S, S, C) uint8, views of validation objects, which nothing above is of


class ViewSampler:
    """Draws the target views of tasks, `samples` times each, always from the same noise."""

    def __init__(self, drawer: Drawer, *, samples: int, seed: int) -> None:
        self.drawer, self.samples, self.seed = drawer, samples, seed

    def __call__(self, sources: np.ndarray, targets: np.ndarray, source_cameras: np.ndarray | None) -> Drawn:
        """sources: (T, V, S, S, C) uint8; targets: (T, 16), cameras; source_cameras: (T, V, 16), None: not known."""
        views = torch.stack([to_float(each) for each in sources])  # (T, V, C, S, S)
        z, context = self.drawer.encode_views(views, None if source_cameras is None else torch.from_numpy(source_cameras))
        mean, squares, first = torch.zeros(()), torch.zeros(()), torch.zeros(())
        for k in range(self.samples):
            drawn = self.drawer.draw(z, sampling=Sampling(self.seed + k), cameras=torch.from_numpy(targets), context=context)
            before, mean = mean, mean + (drawn - mean) / (k + 1)
            squares = squares + (drawn - before) * (drawn - mean)  # Welford 1962: sums of squares lose the small differences
            first = drawn if k == 0 else first
        variance = None
        if self.samples > 1:
            variance = (squares / (self.samples - 1) / 4).flatten(1).mean(1).double().numpy()  # [-1, 1] is a range of 2
        return Drawn(to_uint8(mean), to_uint8(first), variance)


def measure_novel_views(
    drawer: Drawer, splits: Splits, network: FixedNetwork, config: EvaluateConfig, regressor: SodaNetwork | None = None
) -> NovelViews | None:
    """Draw `view_targets` views of every held-out object from 1, 2 and 4 others, posed and unposed, and judge them.

    None when no two held-out objects have views enough. network: what LPIPS-like distances are taken in. regressor: draws in
    one step (`train_one_step`), and stands beside the model.
    """
    seed, test = config.seed, splits.test
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
        found |= _spread(drawn[count], near[count], config.view_samples, f"@{count}")
    wrong = np.roll(at, 1 + len(at) // 2, axis=0)
    found["wrong_pose_psnr@1"] = _psnr(judge.nearness(draw(given[:, :1], wrong, cameras[:, :1]).mean, truth))
    strangers = test.gather(tasks.strangers)[:, None], test.cameras[tasks.strangers][:, None]
    found["shuffled_psnr@1"] = _psnr(judge.nearness(draw(strangers[0], at, strangers[1]).mean, truth))
    answers, about = _answers(drawer, splits, tasks, config)
    if regressor is not None:
        posed = torch.stack([to_float(each) for each in given[:, :1]]), torch.from_numpy(cameras[:, :1])
        one = Drawer(regressor, batch_size=drawer.batch_size)
        answers["one_step"] = to_uint8(draw_one_step(one, *posed, torch.from_numpy(at)))
    bases = {name: judge.nearness(images, truth) for name, images in answers.items()}
    found |= {"baselines": {name: each.means() for name, each in bases.items()}, **about}
    answers = {"expected": drawn[1].mean, "sample": drawn[1].sample, **answers}
    chosen = np.random.default_rng(seed).permutation(len(splits.val))[:MAX_REAL]
    real = splits.val.gather(np.sort(chosen))
    found["unpaired"] = _unpaired(judge, real, answers, truth)
    found["by_angle"] = _by_angle(tasks.angles, near[1].psnr, bases["copy"].psnr)
    found["other_set"] = _other_set(draw, judge, drawer.network, seed)
    return NovelViews(found, tasks, drawn, near[1].psnr, truth, answers, real)


def _answers(drawer: Drawer, splits: Splits, tasks: Tasks, config: EvaluateConfig) -> tuple[dict[str, np.ndarray], Metrics]:
    """Of each lookup its answers, and what is said of them."""
    bank = Lookup.of(drawer, Views(splits.train, config.seed))
    at = splits.test.cameras[tasks.targets]
    nearest = bank.at(at)
    about: Metrics = {"baseline_angle": float(np.degrees(angles_between(splits.train.cameras[nearest], at[:, None])).mean())}
    judges = None
    if len(splits.val):
        judges = choose_tasks(splits.val, targets=config.view_targets, sources=1, seed=config.seed)
    k = None if judges is None else choose_k(bank, judges)
    return lookups(bank, nearest, tasks, COUNTS, k), about if k is None else {**about, "nearest_k": k}


def _unpaired(judge: ImageJudge, real: np.ndarray, answers: dict[str, np.ndarray], truth: np.ndarray) -> Metrics:
    """Distances of each set of views from real ones that no answer is of; of the true views for scale."""
    if len(real) < 2 or len(truth) < 2:
        return {}
    described = judge.describe(real)
    found = {}
    for name, images in {"truth": truth, **answers}.items():
        found[name] = {
            "fid_like": frechet_distance(judge.describe(images), described),
            "detail": detail(images, truth),
            "detail_distance": detail_distance(images, real),
        }
    return found


def _spread(drawn: Drawn, near: Nearness, samples: int, ending: str) -> dict[str, float]:
    """How far samples lie apart, and over the squared error of the expected view, which is its own but for the samples' mean."""
    if drawn.variance is None:
        return {}
    variance = float(drawn.variance.mean())
    left = float((10 ** (-near.psnr / 10)).mean()) - variance / samples  # a mean of few samples is off by that much by itself
    found = {f"spread{ending}": variance**0.5}
    return found if left <= 0 else {**found, f"spread_share{ending}": variance / left}


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
