"""MIG, the mutual information gap (Chen et al. 2018, "Isolating sources of disentanglement in VAEs", section 4.1)."""

from __future__ import annotations

import numpy as np

from soda.evaluation.disentanglement.information import entropy, information_table


def mutual_information_gap(x: np.ndarray, y: dict[str, np.ndarray]) -> float:
    """How much more the best component tells of a factor than the second best, over the factor's entropy; mean over factors.

    x: (N, D); y: factor -> (N,), -1 where it is missing. In [0, 1].
    """
    best = np.sort(information_table(x, y), axis=0)[::-1]
    second = best[1] if len(best) > 1 else np.zeros(len(y))
    entropies = np.array([entropy(values) for values in y.values()])
    return float(np.divide(best[0] - second, entropies, out=np.zeros(len(y)), where=entropies > 0).mean())
