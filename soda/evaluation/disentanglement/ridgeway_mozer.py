"""Modularity and explicitness: Ridgeway & Mozer (2018): "Learning deep disentangled embeddings with the F-statistic loss".

Mutual information is that of components cut into BINS equal intervals; explicitness is the area under the ROC of one-against-all
logistic regressions.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from soda.evaluation.disentanglement.dci import FactorData
from soda.evaluation.disentanglement.information import information_table
from soda.evaluation.linear_probe import fit_logistic, standardise

L2 = 1e-3  # of the logistic regressions


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
