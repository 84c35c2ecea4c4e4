"""MIG, the mutual information gap (Chen et al. 2018, "Isolating sources of disentanglement in VAEs", section 4.1)."""

from __future__ import annotations

import numpy as np

from soda.evaluation.dci import BINS


def information_table(x: np.ndarray, y: dict[str, np.ndarray]) -> np.ndarray:
    """Mutual information in nats of every component, cut in BINS equal intervals as in Locatello et al. 2019, and factor: (D, F).

    x: (N, D); y: factor -> (N,), -1 where it is missing.
    """
    binned = np.stack([_cut(column) for column in x.T], axis=1)  # (N, D)
    table = np.zeros((x.shape[1], len(y)))
    for k, values in enumerate(y.values()):
        has = values >= 0
        codes = np.unique(values[has], return_inverse=True)[1]
        for i in range(x.shape[1]):
            table[i, k] = _information(binned[has, i], codes)
    return table


def mutual_information_gap(x: np.ndarray, y: dict[str, np.ndarray]) -> float:
    """How much more the best component tells of a factor than the second best, over the factor's entropy; mean over factors."""
    table = information_table(x, y)
    best = np.sort(table, axis=0)[::-1]
    second = best[1] if len(best) > 1 else np.zeros(len(y))
    entropies = np.array([_information(codes, codes) for codes in (_codes(values) for values in y.values())])
    return float(np.divide(best[0] - second, entropies, out=np.zeros(len(y)), where=entropies > 0).mean())


def _codes(values: np.ndarray) -> np.ndarray:
    return np.unique(values[values >= 0], return_inverse=True)[1]


def _cut(column: np.ndarray) -> np.ndarray:
    edges = np.linspace(column.min(), column.max(), BINS + 1)[1:-1]
    return np.digitize(column, edges)


def _information(one: np.ndarray, two: np.ndarray) -> float:
    width = int(two.max()) + 1
    joint = np.bincount(one * width + two, minlength=(int(one.max()) + 1) * width).reshape(-1, width) / len(one)
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    here = joint > 0
    return max(0.0, float((joint[here] * np.log(joint[here] / apart[here])).sum()))
