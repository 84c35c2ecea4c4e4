"""DCI with gradient-boosted trees, as Locatello et al. 2019 and their disentanglement_lib compute it.

Theirs is scikit-learn's GradientBoostingClassifier as it comes: 100 rounds, one tree of depth 3 a value and round, rate 0.1, all
components tried at each split. On 10,000 points of 128 components that takes hours on two cores. So trees here are grown on
histograms of 255 bins (HistGradientBoostingClassifier), with the same rounds, depth and rate: 36 s for 57 values. Importance is
theirs, the decrease of squared error of the residuals; it is added up here, since those trees keep another gain, which weighs the
late rounds of a factor that is long told. `exact=True` is theirs; benchmarks/disentanglement_check.py has both side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from soda.common.errors import InputError
from soda.evaluation.disentanglement.dci import FactorData, dci_scores

ROUNDS, DEPTH, RATE = 100, 3, 0.1  # scikit-learn's own, which disentanglement_lib leaves as they are
LEAST = 5  # points of a leaf: one, as there, lets a histogram's Newton steps run away


def boosted_dci(data: FactorData, *, seed: int, exact: bool = False) -> tuple[float, float, float, np.ndarray]:
    """(disentanglement, completeness, informativeness, importance (D, F)), the first three in [0, 1].

    A factor's importances sum to 1. Informativeness is accuracy on test, mean over factors. Raises InputError when a factor has
    one value in train or no point in test.
    """
    columns, right = [], []
    for factor in data.y["train"]:
        (x, y), (test_x, test_y) = data.pairs("train", factor), data.pairs("test", factor)
        if len(np.unique(y)) < 2 or not len(test_y):
            raise InputError(f"factor {factor!r}: boosted trees take two values in train and a point in test")
        trees = _grown(x, y, seed, exact)
        columns.append(np.abs(trees.feature_importances_) if exact else error_shares(trees, x, y))
        right.append(float(trees.score(test_x, test_y)))
    importance = np.stack(columns, axis=1)
    return *dci_scores(importance), float(np.mean(right)), importance


def _grown(x: np.ndarray, y: np.ndarray, seed: int, exact: bool) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier

    if exact:
        return GradientBoostingClassifier(random_state=seed).fit(x, y)
    trees = HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        max_depth=DEPTH,
        max_leaf_nodes=None,
        min_samples_leaf=LEAST,
        learning_rate=RATE,
        early_stopping=False,
        random_state=seed,
    )
    return trees.fit(x, y)


def error_shares(trees: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The share of each component in what the splits of a fitted HistGradientBoostingClassifier take off the squared error.

    x: (N, D) and y: (N,), what it was fitted on -> (D,), sums to 1, or to 0 where nothing was split. That is what
    `feature_importances_` of GradientBoostingClassifier is; these trees have none, so their rounds are gone through once more.
    """
    columns, scores = np.ascontiguousarray(x.T), np.tile(trees._baseline_prediction.reshape(1, -1), (len(y), 1)).astype(float)
    wanted = (y[:, None] == trees.classes_).astype(float)[:, -scores.shape[1] :]  # of two values the second alone has trees
    gains = np.zeros(x.shape[1])
    for stage in trees._predictors:
        residuals, step = wanted - _chances(scores), np.zeros_like(scores)
        for k, tree in enumerate(stage):
            _walk(tree.nodes, columns, residuals[:, k], step[:, k], gains)
        scores += step
    total = gains.sum()
    return gains / total if total > 0 else gains


def _chances(scores: np.ndarray) -> np.ndarray:
    if scores.shape[1] == 1:
        return 1 / (1 + np.exp(-scores))
    raised = np.exp(scores - scores.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


def _walk(nodes: np.ndarray, columns: np.ndarray, residuals: np.ndarray, step: np.ndarray, gains: np.ndarray) -> None:
    """Send all points down a tree: splits add what they take off the squared error to `gains` (D,), leaves fill `step` (N,)."""
    waiting = [(0, np.arange(len(residuals)))]
    while waiting:
        at, rows = waiting.pop()
        node = nodes[at]
        if node["is_leaf"]:
            step[rows] = node["value"]
            continue
        component = int(node["feature_idx"])
        goes_left = columns[component, rows] <= node["num_threshold"]
        left, right = rows[goes_left], rows[~goes_left]
        if len(left) and len(right):
            apart = residuals[left].mean() - residuals[right].mean()
            gains[component] += len(left) * len(right) / len(rows) * apart**2
        waiting += [(int(node["left"]), left), (int(node["right"]), right)]
