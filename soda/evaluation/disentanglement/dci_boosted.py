"""DCI with gradient-boosted trees, as Locatello et al. 2019 and their disentanglement_lib compute it.

Theirs is scikit-learn's GradientBoostingClassifier as it comes: 100 rounds, one tree of depth 3 a value and round, rate 0.1, all
components tried at each split. On 10,000 points of 128 components that is about an hour a representation on two cores. So trees
here are grown on histograms of 255 bins (HistGradientBoostingClassifier), with the same rounds, depth and rate: a minute or two.
`exact=True` is theirs. benchmarks/disentanglement_check.py has both side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from soda.common.errors import InputError
from soda.evaluation.dci import FactorData, dci_scores

ROUNDS, DEPTH, RATE = 100, 3, 0.1  # scikit-learn's own, which disentanglement_lib leaves as they are


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
        columns.append(np.abs(trees.feature_importances_) if exact else gain_shares(trees, x.shape[1]))
        right.append(float(trees.score(test_x, test_y)))
    importance = np.stack(columns, axis=1)
    return *dci_scores(importance), float(np.mean(right)), importance


def _grown(x: np.ndarray, y: np.ndarray, seed: int, exact: bool) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier

    if exact:
        return GradientBoostingClassifier(random_state=seed).fit(x, y)
    trees = HistGradientBoostingClassifier(
        max_iter=ROUNDS, max_depth=DEPTH, max_leaf_nodes=None, learning_rate=RATE, early_stopping=False, random_state=seed
    )
    return trees.fit(x, y)


def gain_shares(trees: Any, components: int) -> np.ndarray:
    """The share of each component in the gain of all splits of a fitted HistGradientBoostingClassifier: (D,), sums to 1 or 0.

    scikit-learn gives its other forests' importances this way and has none for these; their nodes hold the gains.
    """
    gains = np.zeros(components)
    for stage in trees._predictors:
        for tree in stage:
            splits = tree.nodes[~tree.nodes["is_leaf"].astype(bool)]
            np.add.at(gains, splits["feature_idx"].astype(int), splits["gain"].clip(0))
    total = gains.sum()
    return gains / total if total > 0 else gains
