"""Novel views to look at: what was asked for beside what was drawn, turntables beside the truth, and one that turns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from soda.common.images import to_float, to_uint8
from soda.data.dataset import Split
from soda.evaluation.azimuth import azimuths
from soda.evaluation.novel_tasks import OBJECT
from soda.evaluation.view_synthesis import NovelViews
from soda.geometry.cameras import COLUMNS
from soda.inference.drawer import Drawer, Sampling
from soda.inference.novel_view import Cameras, novel_views, orbit_cameras
from soda.model.network import SodaNetwork
from soda.viz.animation import save_animation
from soda.viz.sheets import grid, page, save_sheet

SHOWN = 10  # tasks on the sheet, from the best drawn to the worst
TURNED, STOPS, FRAMES = 6, 10, 24


def novel_sheet(found: NovelViews, path: Path) -> None:
    """Rows from the best drawn task to the worst: sources, truth, expected views from one to four of them, one sample."""
    order = np.argsort(-found.psnr)
    picked = order[np.linspace(0, len(order) - 1, min(SHOWN, len(order))).astype(int)]
    tasks = found.tasks
    counts = list(found.drawn)
    sources, truth = (tasks.split.gather(each) for each in (tasks.sources[picked].ravel(), tasks.targets[picked]))
    sources = sources.reshape(len(picked), -1, *truth.shape[1:])
    rows = [
        [*sources[row], truth[row], *(found.drawn[n].mean[k] for n in counts), found.drawn[1].sample[k]]
        for row, k in enumerate(picked)
    ]
    labels = [f"source {n + 1}" for n in range(sources.shape[1])]
    labels += ["truth", *(f"from {n}" for n in counts), "one sample"]
    save_sheet(grid(rows, column_labels=labels, side=64), path)


def turntables(model: SodaNetwork, found: NovelViews, path: Path, seed: int) -> None:
    """Of some held-out objects, from well drawn to badly drawn ones: the true views in order of azimuth, and the same from one
    posed picture and from two."""
    blocks = []
    for name, positions, sources in _objects(found):
        split = found.tasks.split
        views, cameras = split.gather(positions), split.cameras[positions]
        rows = [[None, *views]]
        for count in (1, 2):
            given = sources[:count]
            rows.append([split.gather(given[-1:])[0], *_drawn(model, split, given, cameras, seed)])
        blocks.append(grid(rows, title=f"{name}: the truth; from one picture; from two", lead_column=True, side=64))
    save_sheet(page(blocks), path)


def spinning(model: SodaNetwork, found: NovelViews, path: Path, seed: int) -> None:
    """Held-out objects turning: in rows one picture of each, it turned from this one, and from two."""
    split = found.tasks.split
    places = split.cameras[:, [COLUMNS.index(f"camera.place{row}") for row in range(3)]]
    distance = float(np.median(np.linalg.norm(places, axis=1)))
    focal = float(split.cameras[0, COLUMNS.index("camera.fx")])
    cameras = orbit_cameras(FRAMES, azimuth=0, elevation=20, distance=distance, focal=focal)
    columns = []
    for _, _, sources in _objects(found):
        turned = [_drawn(model, split, given, cameras, seed) for given in (sources[:1], sources[:2])]
        still = np.broadcast_to(split.gather(sources[:1]), turned[0].shape)
        columns.append(np.concatenate((still, *turned), axis=1))  # (F, 3 S, S, C)
    frames = np.concatenate(columns, axis=2)
    size = 64 // model.image_size if model.image_size < 64 else 1
    save_animation(np.kron(frames, np.ones((1, size, size, 1), np.uint8)), path, fps=8, side=frames.shape[1] * size)


def _drawn(model: SodaNetwork, split: Split, given: np.ndarray, cameras: Cameras, seed: int) -> np.ndarray:
    """What `cameras` would see, from the views at `given`: (F, S, S, C) uint8."""
    drawer = Drawer(model, batch_size=64, progress=False)
    return to_uint8(novel_views(drawer, to_float(split.gather(given)), split.cameras[given], cameras, Sampling(seed)))


def _objects(found: NovelViews) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(object, STOPS of its views in order of azimuth, two sources) of TURNED objects, from the best drawn to the worst."""
    tasks, split = found.tasks, found.tasks.split
    names = split.column(OBJECT)
    of_task = names[tasks.targets]
    counts = {name: int(np.count_nonzero(names == name)) for name in dict.fromkeys(of_task.tolist())}
    stops = min(STOPS, max(counts.values()))  # of an object that lost more of its views there is less to compare
    known = [name for name, count in counts.items() if count >= stops]
    mean = np.array([found.psnr[of_task == name].mean() for name in known])
    order = np.argsort(-mean)
    chosen = []
    for place in order[np.linspace(0, len(order) - 1, min(TURNED, len(order))).astype(int)]:
        positions = np.flatnonzero(names == known[place])
        positions = positions[np.argsort(azimuths(torch.from_numpy(split.cameras[positions])).numpy())]
        shown = positions[np.linspace(0, len(positions) - 1, stops).astype(int)]
        chosen.append((known[place], shown, tasks.sources[np.flatnonzero(of_task == known[place])[0], :2]))
    return chosen
