"""What components tell of factors, in nats: the table that MIG and modularity are read off."""

from __future__ import annotations

import numpy as np

BINS = 20
"""Equal intervals that a component is cut into, as in Locatello et al. 2019."""


def information_table(x: np.ndarray, y: dict[str, np.ndarray]) -> np.ndarray:
    """Mutual information of every component and factor: (D, F). x: (N, D); y: factor -> (N,), -1 where it is missing."""
    binned = [np.digitize(column, np.linspace(column.min(), column.max(), BINS + 1)[1:-1]) for column in x.T]
    table = np.zeros((x.shape[1], len(y)))
    for k, values in enumerate(y.values()):
        has = values >= 0
        codes = np.unique(values[has], return_inverse=True)[1]
        for i, cut in enumerate(binned):
            table[i, k] = mutual_information(cut[has], codes)
    return table


def entropy(values: np.ndarray) -> float:
    """Of a factor's values (N,), -1 where it is missing."""
    codes = np.unique(values[values >= 0], return_inverse=True)[1]
    return mutual_information(codes, codes)


def mutual_information(one: np.ndarray, two: np.ndarray) -> float:
    """Of two columns of whole numbers from 0 up, (N,) each; 0 without any."""
    if not len(one):
        return 0.0
    width = int(two.max()) + 1
    joint = np.bincount(one * width + two, minlength=(int(one.max()) + 1) * width).reshape(-1, width) / len(one)
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    here = joint > 0
    return max(0.0, float((joint[here] * np.log(joint[here] / apart[here])).sum()))
