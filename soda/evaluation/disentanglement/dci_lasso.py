"""DCI with Lasso, the linear one of the two regressors of Eastwood & Williams 2018.

They regress a factor's number; ours may be names, so each value has an indicator of its own, and a component's importance for a
factor is the sum of its weights' sizes over the factor's values. Components and indicators are standardised.
"""

from __future__ import annotations

import warnings

import numpy as np

from soda.common.errors import InputError
from soda.evaluation.disentanglement.dci import FactorData, dci_scores

PENALTIES = (0.3, 0.1, 0.03, 0.01)
"""Of the L1 norm, in units of the standardised indicators; one for each factor is chosen by accuracy on validation."""
_ROUNDS = 300


def lasso_dci(data: FactorData) -> tuple[float, float, float, np.ndarray]:
    """(disentanglement, completeness, informativeness, importance (D, F)), as `boosted_dci`; no seed enters.

    Informativeness is the accuracy on test of the value whose indicator is predicted highest, mean over factors.
    """
    columns, right = [], []
    for factor in data.y["train"]:
        weights, accuracy = _fit(data, factor)
        total = weights.sum()
        columns.append(weights / total if total > 0 else weights)
        right.append(accuracy)
    importance = np.stack(columns, axis=1)
    return *dci_scores(importance), float(np.mean(right)), importance


def _fit(data: FactorData, factor: str) -> tuple[np.ndarray, float]:
    """(sizes of the weights (D,), accuracy on test) with the penalty that is best on validation, of equals the greatest."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import Lasso

    (x, y), val, test = (data.pairs(split, factor) for split in ("train", "val", "test"))
    values = np.unique(y)
    if len(values) < 2 or not len(test[1]):
        raise InputError(f"factor {factor!r}: Lasso takes two values in train and a point in test")
    mean, spread = x.mean(0), x.std(0)
    spread = np.where(spread > 1e-6 * (1 + np.abs(mean)), spread, np.inf)
    wanted = (y[:, None] == values).astype(float)
    centre, scale = wanted.mean(0), wanted.std(0)
    fitted, targets = (x - mean) / spread, (wanted - centre) / scale
    gram, start = np.ascontiguousarray(fitted.T @ fitted), None
    best, best_score = (np.zeros(x.shape[1]), 0.0), -1.0

    def accuracy(pairs: tuple[np.ndarray, np.ndarray], weights: np.ndarray) -> float:
        scores = ((pairs[0] - mean) / spread) @ weights.T * scale + centre
        return float((values[scores.argmax(1)] == pairs[1]).mean()) if len(pairs[1]) else 0.0

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of a weight are of no account
        for penalty in PENALTIES:
            model = Lasso(penalty, fit_intercept=False, precompute=gram, max_iter=_ROUNDS, warm_start=True)
            if start is not None:
                model.coef_ = start
            weights = np.atleast_2d(model.fit(fitted, targets).coef_)
            start = model.coef_.copy()
            score = accuracy(val, weights)
            if score > best_score:
                best, best_score = (np.abs(weights).sum(0), accuracy(test, weights)), score
    return best
