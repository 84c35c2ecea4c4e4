"""What answers for a novel view without drawing: copies of sources, and means of training objects, all or those nearest in z."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from soda.common.images import to_float
from soda.data.dataset import Split
from soda.evaluation.novel_tasks import Tasks, Views, angles_between
from soda.inference.drawer import Drawer

KS = (1, 2, 4, 8, 16, 32, 64)
"""How many nearest objects may be averaged; validation chooses."""


@dataclass(frozen=True)
class Lookup:
    """The training views as a bank, to be asked for the views of objects like a given one.

    encode: makes z; views: the training views by object; bank: (n, D), their standardised z, of length 1.
    """

    encode: Drawer
    views: Views
    bank: Tensor
    centre: Tensor
    spread: Tensor

    @classmethod
    def of(cls, encode: Drawer, views: Views) -> Lookup:
        """The bank of all training views, each with its camera known."""
        z = _latents(encode, views.split, views.positions)
        centre, spread = z.mean(0), z.std(0).clamp(min=1e-6)
        return cls(encode, views, _standard(z, centre, spread), centre, spread)

    def at(self, cameras: np.ndarray) -> np.ndarray:
        """Of each training object the view that is nearest to each camera (T, 16): positions (T, O)."""
        return np.stack([self.views.nearest(each) for each in cameras])

    def alike(self, tasks: Tasks, count: int) -> np.ndarray:
        """The `count` training objects nearest to the first source of each task, each by its nearest view: (T, count)."""
        queries = _latents(self.encode, tasks.split, tasks.sources[:, 0])
        found = []
        for row in _standard(queries, self.centre, self.spread) @ self.bank.T:  # (n,)
            best = np.full(self.views.count, -np.inf)
            np.maximum.at(best, self.views.objects, row.numpy())
            found.append(np.argsort(-best, kind="stable")[:count])
        return np.stack(found)

    def means(self, positions: np.ndarray) -> np.ndarray:
        """Means of the training views at `positions` (T, k): (T, S, S, C) uint8."""
        return np.stack([self.views.split.gather(row).mean(0).round().astype(np.uint8) for row in positions])


def lookups(
    bank: Lookup, nearest: np.ndarray, tasks: Tasks, counts: tuple[int, ...], k: int | None = None
) -> dict[str, np.ndarray]:
    """Of each baseline its answers to all tasks, (T, S, S, C) uint8.

    nearest: (T, O), of each training object the view that is nearest to the target's camera. counts: of the sources, of which
    the nearest to the target is copied. k: of the nearest objects, whose mean is an answer, too.
    """
    split = tasks.split
    alike = np.take_along_axis(nearest, bank.alike(tasks, k or 1), axis=1)  # (T, k), positions of views
    found = {
        "mean_view": bank.means(nearest),
        "nearest_object": bank.views.split.gather(alike[:, 0]),
        **({} if k is None else {"nearest_mean": bank.means(alike)}),
        "copy": split.gather(tasks.sources[:, 0]),
    }
    for count in counts[1:]:
        angles = angles_between(split.cameras[tasks.sources[:, :count]], split.cameras[tasks.targets][:, None])
        found[f"copy_nearest_of_{count}"] = split.gather(tasks.sources[np.arange(len(tasks)), angles.argmin(1)])
    return found


def choose_k(bank: Lookup, tasks: Tasks) -> int:
    """How many nearest objects have the mean that comes nearest to the targets of `tasks`, by PSNR: one of KS."""
    ks = [k for k in KS if k <= bank.views.count]
    truth = tasks.split.gather(tasks.targets).astype(np.float64)
    positions = np.take_along_axis(bank.at(tasks.split.cameras[tasks.targets]), bank.alike(tasks, ks[-1]), axis=1)
    scores = []
    for k in ks:
        errors = np.square(bank.means(positions[:, :k]) - truth).mean((1, 2, 3))
        scores.append(float(np.log(errors.clip(min=1e-6)).mean()))
    return ks[int(np.argmin(scores))]


def _standard(z: Tensor, centre: Tensor, spread: Tensor) -> Tensor:
    return torch.nn.functional.normalize((z - centre) / spread)


def _latents(encode: Drawer, split: Split, positions: np.ndarray) -> Tensor:
    """z with the cameras known, (n, D)."""
    blocks = [positions[i : i + 500] for i in range(0, len(positions), 500)]
    return torch.cat([encode.encode(to_float(split.gather(b)), torch.from_numpy(split.cameras[b])) for b in blocks])
