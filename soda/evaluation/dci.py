"""Disentanglement: DCI, modularity and explicitness of a representation against known factors.

Protocol. DCI is that of Eastwood & Williams 2018 (ICLR, "A framework for the quantitative evaluation of disentangled
representations"), with their random forests of TREES trees whose depth is chosen on validation, one forest a factor; the
importance of a component is the forest's mean decrease in impurity. Factors here are categories, so that informativeness is the
accuracy on test (as in Locatello et al. 2019). Modularity and explicitness are those of Ridgeway & Mozer 2018 (NeurIPS): mutual
information of components cut into BINS equal intervals; area under the ROC of one-against-all logistic regressions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from soda.common.errors import InputError
from soda.evaluation.disentanglement.information import information_table
from soda.evaluation.linear_probe import fit_logistic, standardise

TREES = 10
DEPTHS = (4, 8, 12)
L2 = 1e-3  # of explicitness's logistic regressions


@dataclass(frozen=True)
class FactorData:
    """A representation and its truth on three splits. x: split -> (n, D) float; y: split -> factor -> (n,) int64, -1 missing."""

    x: dict[str, np.ndarray]
    y: dict[str, dict[str, np.ndarray]]

    def pairs(self, split: str, factor: str) -> tuple[np.ndarray, np.ndarray]:
        """(x, y) of the pictures that have a value of the factor."""
        here = self.y[split][factor] >= 0
        return self.x[split][here], self.y[split][factor][here]


@dataclass(frozen=True)
class Disentanglement:
    """All in [0, 1], more is better. importance: (D, F), each column the share of every component in telling that factor."""

    dci_d: float
    dci_c: float
    dci_i: float
    modularity: float
    explicitness: float  # area under the ROC: .5 is chance
    accuracy: dict[str, float]  # factor -> informativeness
    importance: np.ndarray


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


def forest_importance(data: FactorData, factor: str, *, seed: int, jobs: int = 1) -> tuple[np.ndarray, float]:
    """(importance (D,) that sums to 1, or to 0 where nothing can be told; accuracy on test) of the forest best on validation."""
    from sklearn.ensemble import RandomForestClassifier

    train, val, test = (data.pairs(split, factor) for split in ("train", "val", "test"))
    if not len(train[1]) or not len(test[1]):
        raise InputError(f"factor {factor!r}: no picture of train or none of test has a value")
    best, best_score = None, -1.0
    for depth in DEPTHS:
        forest = RandomForestClassifier(TREES, max_depth=depth, max_features=None, random_state=seed, n_jobs=jobs)
        forest.fit(*train)
        score = float(forest.score(*val)) if len(val[1]) else 0.0
        if score > best_score:
            best, best_score = forest, score
    assert best is not None
    return best.feature_importances_, float(best.score(*test))


def modularity(x: np.ndarray, y: dict[str, np.ndarray]) -> float:
    """How far every component informs about one factor alone: Ridgeway & Mozer 2018, section 3. x: (N, D); y: factor -> (N,).

    Mean over components of 1 - sum of the squared information about other factors than its best / (best^2 (F - 1)). Components
    that say nothing are left out. 1 with a single factor; 0 when no component says anything.
    """
    if len(y) < 2:
        return 1.0
    information = information_table(x, y)
    best = information.max(1)
    information, best = information[best > 0], best[best > 0]
    if not len(best):
        return 0.0
    others = np.square(information).sum(1) - np.square(best)
    return float((1 - others / (np.square(best) * (len(y) - 1))).mean())


def explicitness(data: FactorData) -> float:
    """How well a linear classifier reads the factors: mean area under the ROC over all values of all factors, on test.

    Ridgeway & Mozer 2018, section 3; values that test lacks, or that it has alone, have no ROC and are left out.
    """
    from sklearn.metrics import roc_auc_score

    areas = []
    for factor in next(iter(data.y.values())):
        (train_x, train_y), (test_x, test_y) = (data.pairs(split, factor) for split in ("train", "test"))
        fitted, asked = standardise(torch.from_numpy(train_x).float(), torch.from_numpy(test_x).float())
        for value in np.unique(train_y):
            wanted = test_y == value
            if wanted.all() or not wanted.any():
                continue
            weight, bias = fit_logistic(fitted, torch.from_numpy((train_y == value).astype(np.int64)), 2, L2)
            logits = asked @ weight.T + bias
            areas.append(roc_auc_score(wanted, (logits[:, 1] - logits[:, 0]).numpy()))
    return float(np.mean(areas)) if areas else math.nan


def disentanglement(data: FactorData, *, seed: int = 0, jobs: int = 1) -> Disentanglement:
    """All measures of one representation. Every representation that stands beside another meets the same pictures and seed.

    jobs: threads of the forests. Raises ValueError when a factor has no value in train or in test, or x is not finite.
    """
    for split, x in data.x.items():
        if not np.isfinite(x).all():
            raise InputError(f"the representation of the {split} split holds values that are not finite")
    factors = list(next(iter(data.y.values())))
    if not factors:
        raise InputError("disentanglement takes at least one known factor")
    found = {name: forest_importance(data, name, seed=seed, jobs=jobs) for name in factors}
    importance = np.stack([column for column, _ in found.values()], axis=1)  # (D, F)
    d, c = dci_scores(importance)
    accuracy = {name: score for name, (_, score) in found.items()}
    informative = float(np.mean(list(accuracy.values())))
    modular = modularity(data.x["test"], data.y["test"])
    return Disentanglement(d, c, informative, modular, explicitness(data), accuracy, importance)
