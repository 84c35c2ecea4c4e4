"""k nearest neighbours by cosine similarity: as a classifier that fits nothing, and to look at.

The bank is the train split as it is, without augmentation; k is chosen on validation. The vote is weighted by
exp(similarity / temperature), the protocol of Wu et al. 2018 (arXiv 1805.01978), which DINO uses too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from soda.common.errors import InputError
from soda.evaluation.linear_probe import Features, standardise, top1

TEMPERATURE = 0.1
MAX_VAL = 2000  # validation pictures that k is chosen on
QUERIES = 250  # a block of similarities is (QUERIES, bank): 54 MB beside a bank of 54,000


@dataclass(frozen=True)
class KnnResult:
    """Shares in [0, 1]. `val_top1` is None when no validation picture has a label; `k` is then the smallest candidate."""

    test_top1: float
    val_top1: float | None
    k: int


def neighbours(queries: Tensor, bank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The min(k, M) nearest of bank (M, D) for each of queries (Q, D): indices (Q, k) int64 and cosines (Q, k), best first."""
    k = min(k, len(bank))
    bank = F.normalize(bank, dim=1)
    best = [(block @ bank.T).topk(k, dim=1) for block in F.normalize(queries, dim=1).split(QUERIES)]
    return torch.cat([each.indices for each in best]), torch.cat([each.values for each in best])


def vote(labels: Tensor, cosines: Tensor, classes: int) -> Tensor:
    """labels, cosines: (Q, k) of the neighbours; each votes for its label with exp(cosine / TEMPERATURE). (Q,) int64."""
    weights = ((cosines - cosines.amax(1, keepdim=True)) / TEMPERATURE).exp()
    return cosines.new_zeros(len(labels), classes).scatter_add_(1, labels, weights).argmax(1)


def knn_probe(train: Features, val: Features, test: Features, *, classes: int, k: tuple[int, ...]) -> KnnResult:
    """Choose k on (at most MAX_VAL pictures of) validation, report on test. Unlabelled pictures are left out.

    Features are standardised by the statistics of train first, as for the linear probe: a shared offset would make every cosine
    alike. Raises ValueError when train or test holds no label.
    """
    train, val, test = train.labelled(), val.labelled(), test.labelled()
    if not len(train.y) or not len(test.y):
        raise InputError(f"kNN takes labelled pictures, got {len(train.y)} in train and {len(test.y)} in test")
    bank, val_x, test_x = standardise(train.x, val.x[:MAX_VAL], test.x)
    best_k, best_score = min(k), None
    if len(val.y):
        found, cosines = neighbours(val_x, bank, max(k))
        for candidate in sorted(set(k)):
            score = top1(vote(train.y[found[:, :candidate]], cosines[:, :candidate], classes), val.y[:MAX_VAL])
            if best_score is None or score > best_score:
                best_k, best_score = candidate, score
    found, cosines = neighbours(test_x, bank, best_k)
    return KnnResult(top1(vote(train.y[found], cosines, classes), test.y), best_score, best_k)
