"""Two-sample comparisons, each a number that grows with the difference: of one sample, or of many splits of one at once.

Sources: Gretton et al., A Kernel Two-Sample Test (JMLR 2012), with the random features of Rahimi and Recht (NIPS 2007);
Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests (ICLR 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEATURES = 256  # random frequencies: twice as many numbers
_RIDGE = 0.05  # of the classifier's covariance, as a share of its mean variance
NEIGHBOUR = 5  # whose distance says how new a picture is
_ROWS = 512  # at once


@dataclass(frozen=True)
class Space:
    """Where distances mean something: z centred, turned to its principal axes, of unit mean length. From the reference alone."""

    mean: np.ndarray  # (D,)
    axes: np.ndarray  # (D, d)
    frequencies: np.ndarray  # (d, FEATURES)

    @classmethod
    def of(cls, z: np.ndarray, *, most: int = 48, seed: int = 0) -> Space:
        """z (N, D): the first axes, `most` or fewer."""
        mean = z.mean(axis=0, dtype=np.float64)
        centred = z - mean
        _, scales, turned = np.linalg.svd(centred[:: max(1, len(z) // 2000)], full_matrices=False)
        kept = int(min(most, (scales > 1e-5 * scales[0]).sum())) if scales[0] > 0 else 1
        axes = turned[:kept].T
        length = np.sqrt(np.mean(((centred @ axes) ** 2).sum(axis=1))) or 1.0
        random = np.random.default_rng(seed)
        points = centred[random.permutation(len(z))[:400]] @ (axes / length)
        distances = np.sqrt(np.maximum(_squares(points, points), 0))[np.triu_indices(len(points), 1)]
        width = float(np.median(distances)) or 1.0  # the median heuristic
        return cls(mean, axes / length, random.standard_normal((kept, FEATURES)) / width)

    def place(self, z: np.ndarray) -> np.ndarray:
        """(n, D) -> (n, d)."""
        return (z - self.mean) @ self.axes

    def features(self, points: np.ndarray) -> np.ndarray:
        """(n, d) -> (n, 2 FEATURES): the mean of these is all that the kernel sees of a sample."""
        angles = points @ self.frequencies
        return np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.sqrt(FEATURES)


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None] - 2 * a @ b.T


def mmd(new: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Squared distance of mean features: (..., F) twice -> (...)."""
    return ((new - reference) ** 2).sum(axis=-1)


def novelty(points: np.ndarray, reference: np.ndarray, *, own: bool = False) -> np.ndarray:
    """Distance of each of (n, d) to its NEIGHBOUR-th nearest in the reference: (n,). own: they are the reference's own rows, and
    none is its own neighbour."""
    place = NEIGHBOUR if own else NEIGHBOUR - 1
    found = [
        np.partition(_squares(points[start : start + _ROWS], reference), place, axis=1)[:, place]
        for start in range(0, len(points), _ROWS)
    ]
    return np.sqrt(np.maximum(np.concatenate(found), 0))


def kolmogorov(new: np.ndarray, reference: np.ndarray) -> float:
    """The largest distance of the two distribution functions, [0, 1]."""
    both = np.concatenate([new, reference])
    at = np.searchsorted(np.sort(new), both, "right") / len(new) - np.searchsorted(np.sort(reference), both, "right") / len(
        reference
    )
    return float(np.abs(at).max())


def kolmogorov_of_splits(values: np.ndarray, new: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """The same for many splits of one sample: values (N,); which rows are new and which the rest, (B, N) bool each -> (B,)."""
    order = np.argsort(values, kind="stable")
    last = np.append(values[order][1:] != values[order][:-1], True)  # ties are one step
    shares = [part[:, order].cumsum(axis=1, dtype=np.int32)[:, last] / part.sum(axis=1, keepdims=True) for part in (new, rest)]
    return np.abs(shares[0] - shares[1]).max(axis=1)


def classifier_auc(new: np.ndarray, reference: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    """How well a linear classifier tells the two apart, on rows that it was not fitted to: (area under the curve, p).

    Fitted on half of each, tested on the others; p by the rank-sum test, one-sided. 0.5 is chance.
    """
    a, b = new[random.permutation(len(new))], reference[random.permutation(len(reference))]
    halves = len(a) // 2, len(b) // 2
    fit_a, fit_b = a[: halves[0]], b[: halves[1]]
    centred = np.concatenate([fit_a - fit_a.mean(axis=0), fit_b - fit_b.mean(axis=0)])
    covariance = centred.T @ centred / len(centred)
    covariance += np.eye(len(covariance)) * _RIDGE * max(np.trace(covariance) / len(covariance), 1e-12)
    direction = np.linalg.solve(covariance, fit_a.mean(axis=0) - fit_b.mean(axis=0))
    return rank_sum(a[halves[0] :] @ direction, b[halves[1] :] @ direction)


def rank_sum(higher: np.ndarray, lower: np.ndarray) -> tuple[float, float]:
    """(share of pairs in which `higher` is higher, p of as much by chance), by the normal approximation of Mann and Whitney."""
    both = np.concatenate([higher, lower])
    order = np.sort(both)
    ranks = (np.searchsorted(order, higher, "left") + np.searchsorted(order, higher, "right") + 1) / 2
    n, m = len(higher), len(lower)
    area = (ranks.sum() - n * (n + 1) / 2) / (n * m)
    spread = np.sqrt((n + m + 1) / (12.0 * n * m))
    return float(area), float(_upper_tail((area - 0.5) / spread))


def _upper_tail(x: float) -> float:
    from math import erfc, sqrt

    return 0.5 * erfc(x / sqrt(2))


def imbalance(new: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Total variation distance of shares: (..., K) twice -> (...), [0, 1]."""
    return 0.5 * np.abs(new - reference).sum(axis=-1)
