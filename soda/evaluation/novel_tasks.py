"""What novel views are measured on: for each held-out object some target views, and for each of these its sources in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soda.data import columns
from soda.data.dataset import Split
from soda.geometry.cameras import COLUMNS

OBJECT, MODEL = columns.FACTOR + columns.OBJECT, columns.FACTOR + columns.MODEL
MAX_TESTED, MAX_OBJECTS = 500, 2000
"""Objects of test and of training that novel views are measured on: sets of tens of thousands would take hours and all memory."""
_FORWARD = [COLUMNS.index(f"camera.forward{row}") for row in range(3)]


@dataclass(frozen=True)
class Tasks:
    """targets: (T,) positions in the split; sources: (T, V) of other views of the same object, the first to be used first.

    strangers: (T,) source views of other objects, in the place of the first source.
    """

    split: Split
    targets: np.ndarray
    sources: np.ndarray
    strangers: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def angles(self) -> np.ndarray:
        """Between the directions of target and first source: (T,) degrees."""
        return np.degrees(angles_between(self.split.cameras[self.targets], self.split.cameras[self.sources[:, 0]]))


def angles_between(cameras: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Radians between the viewing directions of cameras (..., 16)."""
    cosine = (cameras[..., _FORWARD].astype(np.float64) * others[..., _FORWARD]).sum(-1)
    return np.arccos(cosine.clip(-1, 1))


def choose_tasks(split: Split, *, targets: int, sources: int, seed: int) -> Tasks | None:
    """At most `targets` views of each object, and for each `sources` other ones of it, drawn from `seed`.

    Objects of too few views are left out, and of more than MAX_TESTED some; None when fewer than two are left.
    """
    objects, generator = split.column(OBJECT), np.random.default_rng(seed)
    chosen: list[tuple[int, np.ndarray]] = []
    for name in _some(list(dict.fromkeys(objects.tolist())), MAX_TESTED, seed):
        views = generator.permutation(np.flatnonzero(objects == name))
        if len(views) > sources:
            chosen += [(int(target), generator.permutation(views[views != target])[:sources]) for target in views[:targets]]
    if not chosen:
        return None
    wanted = np.array([target for target, _ in chosen])
    given = np.stack([each for _, each in chosen])
    names = objects[wanted]
    if len(set(names.tolist())) < 2:
        return None
    others = [generator.choice(np.flatnonzero(names != name)) for name in names]
    return Tasks(split, wanted, given, given[others, 0])


def _some(names: list[str], limit: int, seed: int) -> list[str]:
    """All of the names, or `limit` of them in the same order."""
    if len(names) <= limit:
        return names
    return [names[k] for k in np.sort(np.random.default_rng(seed).permutation(len(names))[:limit])]


class Views:
    """The training views by object, for baselines that answer with one: no variants, where models have them.

    Of more than MAX_OBJECTS objects some, drawn from `seed`.
    """

    def __init__(self, split: Split, seed: int = 0) -> None:
        names = split.column(OBJECT)
        first = dict(reversed(list(zip(split.column(MODEL).tolist(), names.tolist(), strict=True))))
        own = np.isin(names, _some(list(first.values()), MAX_OBJECTS, seed))
        self.split, self.positions = split, np.flatnonzero(own)
        self.objects = np.unique(names[own], return_inverse=True)[1]  # (n,), 0 .. O - 1
        self.count = int(self.objects.max()) + 1

    def nearest(self, camera: np.ndarray) -> np.ndarray:
        """Of each training object the view that is nearest in direction to `camera` (16,): (O,) positions in the split."""
        angle = angles_between(self.split.cameras[self.positions], camera)
        order = np.lexsort((angle, self.objects))
        firsts = np.flatnonzero(np.diff(self.objects[order], prepend=-1))
        return np.asarray(self.positions[order[firsts]])
