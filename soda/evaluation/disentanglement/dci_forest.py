"""DCI with random forests, as its authors have it, with modularity and explicitness beside it: what every evaluation reports.

One forest of TREES trees a factor, its depth chosen on validation; the importance of a component is the forest's mean decrease in
impurity. Factors here are categories, so that informativeness is the accuracy on test (as in Locatello et al. 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soda.common.errors import InputError
from soda.evaluation.disentanglement.dci import FactorData, dci_scores
from soda.evaluation.disentanglement.ridgeway_mozer import explicitness, modularity

TREES = 10
DEPTHS = (4, 8, 12)


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
