"""What DCI is taken of, and its two scores of an importance matrix; dci_forest, dci_boosted and dci_lasso come by importance.

Eastwood & Williams 2018 (ICLR, "A framework for the quantitative evaluation of disentangled representations").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from soda.common.errors import InputError


@dataclass(frozen=True)
class FactorData:
    """A representation and its truth on three splits. x: split -> (n, D) float; y: split -> factor -> (n,) int64, -1 missing."""

    x: dict[str, np.ndarray]
    y: dict[str, dict[str, np.ndarray]]

    def pairs(self, split: str, factor: str) -> tuple[np.ndarray, np.ndarray]:
        """(x, y) of the pictures that have a value of the factor."""
        here = self.y[split][factor] >= 0
        return self.x[split][here], self.y[split][factor][here]


def _order(weights: np.ndarray, axis: int) -> np.ndarray:
    """1 - entropy of the shares along `axis`, to the base of their number: 1 for a single one, 0 for all alike or all zero."""
    count, total = weights.shape[axis], weights.sum(axis, keepdims=True)
    if count < 2:
        return np.ones(weights.shape[1 - axis])
    shares = np.divide(weights, total, out=np.full(weights.shape, 1 / count), where=total > 0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return 1 + (shares * logs).sum(axis) / math.log(count)


def dci_scores(importance: np.ndarray) -> tuple[float, float]:
    """(disentanglement, completeness) of an importance matrix (D, F) of numbers from 0 up: Eastwood & Williams 2018, section 2.

    A component is disentangled when it counts for one factor, and weighs by its share of all importance; a factor is complete
    when one component counts for it. A matrix of zeros scores (0, 0). Factors weigh by their column's sum (all alike for shares).
    """
    importance = np.asarray(importance, np.float64)
    if (importance < 0).any() or not np.isfinite(importance).all():
        raise InputError("importances are finite numbers of 0 or more")
    total = importance.sum()
    if total == 0:
        return 0.0, 0.0
    disentangled = float((_order(importance, 1) * importance.sum(1)).sum() / total)
    return disentangled, float((_order(importance, 0) * importance.sum(0)).sum() / total)
