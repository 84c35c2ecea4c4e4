"""Spherical k-means: clusters of latents of length 1, by cosine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soda.common.checks import whole_number

SAMPLE = 50_000
"""Of more latents, this many drawn at random place the centres; all are then assigned."""

STARTS = 4
"""Random starts, of which the best counts: one alone may join two clusters and cut a third."""

_BLOCK = 4096


@dataclass(frozen=True)
class Clusters:
    """labels: (n,) int64, cluster 0 being the largest; centres: (k, D) of length 1; cosines: (n,) with the own centre."""

    labels: np.ndarray
    centres: np.ndarray
    cosines: np.ndarray

    def members(self, cluster: int) -> np.ndarray:
        """Rows of a cluster, the most typical first."""
        rows = np.flatnonzero(self.labels == cluster)
        return rows[np.argsort(-self.cosines[rows], kind="stable")]


def cluster(z: np.ndarray, count: int, *, seed: int = 0, rounds: int = 50) -> Clusters:
    """Cluster z (n, D), of length 1, into `count` groups: k-means++ (Arthur & Vassilvitskii 2007), then Lloyd's algorithm.

    None of them is empty. Raises ValueError for a count outside 1 .. n.
    """
    whole_number("count", count, 1, len(z))
    rng = np.random.default_rng(seed)
    sample = z if len(z) <= SAMPLE else z[np.sort(rng.choice(len(z), SAMPLE, replace=False))]
    centres = max((_lloyd(sample, count, rng, rounds) for _ in range(STARTS)), key=lambda pair: pair[1])[0]
    labels, cosines = _assign(z, centres)
    _fill_empty(labels, cosines, count)
    order = np.argsort(-np.bincount(labels, minlength=count), kind="stable")
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    return Clusters(rank[labels], centres[order], cosines)


def _lloyd(z: np.ndarray, count: int, rng: np.random.Generator, rounds: int) -> tuple[np.ndarray, float]:
    """Centres (count, D) from one random start, and the mean cosine of the rows with theirs."""
    centres = _first_centres(z, count, rng)
    before: np.ndarray | None = None
    for _ in range(rounds):
        labels, cosines = _assign(z, centres)
        _fill_empty(labels, cosines, count)
        if before is not None and np.array_equal(labels, before):
            break
        before = labels
        centres = _means(z, labels, count)
    return centres, float(_assign(z, centres)[1].mean(dtype=np.float64))


def _first_centres(z: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Each next centre is a row drawn with a probability that grows with its distance from the centres so far."""
    chosen = [int(rng.integers(len(z)))]
    distance = np.maximum(0.0, 1 - (z @ z[chosen[0]]).astype(np.float64))
    while len(chosen) < count:
        total = distance.sum()
        free = np.setdiff1d(np.arange(len(z)), chosen) if total <= 0 else None  # only equals are left
        pick = int(rng.choice(free)) if free is not None else int(rng.choice(len(z), p=distance / total))
        chosen.append(pick)
        distance = np.minimum(distance, np.maximum(0.0, 1 - z @ z[pick]))
        distance[chosen] = 0
    return z[chosen]


def _assign(z: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, cosines = np.empty(len(z), np.int64), np.empty(len(z), np.float32)
    for start in range(0, len(z), _BLOCK):
        block = z[start : start + _BLOCK] @ centres.T
        here = slice(start, start + len(block))
        labels[here] = block.argmax(1)
        cosines[here] = np.take_along_axis(block, labels[here, None], 1)[:, 0]
    return labels, cosines


def _fill_empty(labels: np.ndarray, cosines: np.ndarray, count: int) -> None:
    """An empty cluster takes the row that fits its own worst, from a cluster that keeps another."""
    sizes = np.bincount(labels, minlength=count)
    for empty in np.flatnonzero(sizes == 0):
        candidates = np.flatnonzero(sizes[labels] > 1)
        row = candidates[cosines[candidates].argmin()]
        sizes[labels[row]] -= 1
        labels[row], cosines[row] = empty, 1.0
        sizes[empty] = 1


def _means(z: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    sums = np.zeros((count, z.shape[1]), np.float64)
    order = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[order], return_index=True)
    sums[present] = np.add.reduceat(z[order], starts, axis=0, dtype=np.float64)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.maximum(lengths, 1e-12)).astype(np.float32)
