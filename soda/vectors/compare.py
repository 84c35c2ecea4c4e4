"""Two encoders on the same pictures: do they see the same neighbours, and which of them sees the labels better?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from soda.common.split_folders import plain_labels
from soda.vectors import VectorsError
from soda.vectors.index import neighbours_within
from soda.vectors.store import Vectors


@dataclass(frozen=True)
class Comparison:
    """near: of each encoder the k nearest others of each picture, (n, k); shared: the share of them that both name, (n,); chance:
    what that would be of two encoders that know nothing of each other; cka: linear centred kernel alignment (Kornblith et al.
    2019), 1 where one is a rotation of the other."""

    files: list[str]
    near: tuple[np.ndarray, np.ndarray]
    shared: np.ndarray
    chance: float
    cka: float

    @property
    def k(self) -> int:
        """Neighbours that were looked at."""
        return self.near[0].shape[1]

    def most_moved(self, count: int) -> np.ndarray:
        """Rows of the pictures whose neighbours changed most, those first; of equals the first by name."""
        return np.argsort(self.shared, kind="stable")[:count]


@dataclass(frozen=True)
class LabelFigures:
    """Of each encoder. right: share of pictures whose k neighbours vote for their own label (a tie goes to the nearest); own:
    share of the neighbours that have it; only: pictures that this encoder alone gets right."""

    labels: int
    right: tuple[float, float]
    own: tuple[float, float]
    only: tuple[int, int]


def compare(a: Vectors, b: Vectors, k: int = 10) -> Comparison:
    """Of the pictures in both; vectors of length 1, of whatever widths. Raises VectorsError for fewer than three."""
    places = {name: row for row, name in enumerate(b.files)}
    rows = [(row, places[name]) for row, name in enumerate(a.files) if name in places]
    if len(rows) < 3:
        raise VectorsError(f"{len(rows)} pictures are in both of {len(a.files)} and {len(b.files)}; a comparison needs three")
    first, second = (np.asarray(side) for side in zip(*rows, strict=True))
    z = a.z[first], b.z[second]
    near = neighbours_within(z[0], k)[0], neighbours_within(z[1], k)[0]
    k = near[0].shape[1]
    shared = np.fromiter((len(np.intersect1d(one, other)) / k for one, other in zip(*near, strict=True)), float, len(rows))
    return Comparison([a.files[row] for row in first], near, shared, k / (len(rows) - 1), _cka(*z))


def labels_of(files: Sequence[str]) -> list[str] | None:
    """The sub-folder of each file, where these look like labels to `soda.data`, too; else None."""
    labels = plain_labels(files)
    return [labels[name] for name in files] if labels else None


def label_figures(found: Comparison, labels: Sequence[str]) -> LabelFigures:
    """What the neighbours of each encoder say of the labels, one for each picture."""
    kinds = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    y = np.asarray([kinds[label] for label in labels])
    votes = [np.asarray([Counter(row).most_common(1)[0][0] for row in y[near].tolist()]) == y for near in found.near]
    own = [float((y[near] == y[:, None]).mean()) for near in found.near]
    only = int((votes[0] & ~votes[1]).sum()), int((votes[1] & ~votes[0]).sum())
    return LabelFigures(len(kinds), (float(votes[0].mean()), float(votes[1].mean())), (own[0], own[1]), only)


def _cka(x: np.ndarray, y: np.ndarray) -> float:
    x, y = (each.astype(np.float64) - each.mean(0) for each in (x, y))
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(x.T @ y) ** 2 / norms) if norms > 0 else 1.0
