"""Linear probe: multinomial logistic regression on frozen features, its L2 chosen on validation, reported on test.

The objective is convex (strictly, for l2 > 0), so the result is a property of the features: no seed, no schedule, no learning
rate. Every feature set that stands next to another is probed by this very function.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from soda.common.errors import InputError

ROUND, TOLERANCE = 10, 1e-3
ROWS = 2048  # rows a product: they stay in the cache for the gradient, and memory flat in the number of pictures


class Features(NamedTuple):
    """Features of one split. x: (N, D) float32; y: (N,) int64 label index, -1 for a picture without a label."""

    x: Tensor
    y: Tensor

    def labelled(self) -> Features:
        """Only the pictures that have a label."""
        has_label = self.y >= 0
        return self if bool(has_label.all()) else Features(self.x[has_label], self.y[has_label])


@dataclass(frozen=True)
class ProbeResult:
    """Shares in [0, 1]. `val_top1` is None when no validation picture has a label; `l2` is then the greatest candidate."""

    test_top1: float
    val_top1: float | None
    l2: float
    predictions: Tensor  # (N_test labelled,) int64
    targets: Tensor  # (N_test labelled,) int64


def standardise(train: Tensor, *others: Tensor) -> list[Tensor]:
    """Bring every component to mean 0 and deviation 1 by the statistics of `train` (N, D); a constant component becomes 0."""
    mean, std = train.mean(0), train.std(0, correction=0)
    std = torch.where(std > 1e-6 * (1 + mean.abs()), std, torch.inf)
    return [(x - mean) / std for x in (train, *others)]


def fit_logistic(
    x: Tensor, y: Tensor, classes: int, l2: float, *, start: tuple[Tensor, Tensor] | None = None, max_rounds: int = 30
) -> tuple[Tensor, Tensor]:
    """Minimise mean cross-entropy + l2 / 2 * |W|^2 (the bias is not penalised) by full-batch L-BFGS.

    x: (N, D) centred; y: (N,) in [0, classes); returns W (classes, D) and b (classes,). The search runs in coordinates V with
    W = V L^-1, L L^T = X^T X / 2N + l2: an upper bound of the Hessian (Boehning 1992), so that correlated features, such as
    neighbouring pixels, converge in tens of steps. It ends when ROUND steps together gain less than TOLERANCE of the loss. Raises
    ValueError on features that are not finite.
    """
    if not bool(torch.isfinite(x).all()):
        raise InputError("the features hold values that are not finite; a probe on them would mean nothing")
    count, dim = x.shape
    # In float64: with fewer pictures than features, float32's rounding alone would make the moment indefinite.
    moment = torch.zeros(dim, dim, dtype=torch.float64, device=x.device)
    for rows in x.split(ROWS):
        wide = rows.double()
        moment += wide.T @ wide / (2 * count)
    ridge = l2 + 1e-6 * float(moment.diagonal().mean()) + 1e-12  # the second term: l2 = 0 with features that repeat one another
    chol = torch.linalg.cholesky(moment + ridge * torch.eye(dim, dtype=torch.float64, device=x.device)).float()
    weight, bias = start if start is not None else (x.new_zeros(classes, dim), x.new_zeros(classes))
    theta = torch.cat([weight @ chol, bias[:, None]], dim=1).requires_grad_()  # (K, D + 1)
    optimizer = torch.optim.LBFGS(
        [theta], max_iter=ROUND, history_size=20, tolerance_grad=1e-7, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def to_weight(v: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(chol, v, upper=False, left=False)

    def closure() -> float:
        w, b = to_weight(theta.detach()[:, :-1]), theta.detach()[:, -1]
        grad_w, grad_b, loss = torch.zeros_like(w), torch.zeros_like(b), 0.0
        for rows, labels in zip(x.split(ROWS), y.split(ROWS), strict=True):
            log_p = F.log_softmax(F.linear(rows, w, b), dim=1)  # (rows, K)
            loss -= float(log_p.gather(1, labels[:, None]).sum(dtype=torch.float64))
            residual = log_p.exp_()
            residual[torch.arange(len(labels), device=x.device), labels] -= 1
            grad_w += residual.T @ rows
            grad_b += residual.sum(0)
        grad_v = torch.linalg.solve_triangular(chol.T, grad_w / count + l2 * w, upper=True, left=False)
        theta.grad = torch.cat([grad_v, grad_b[:, None] / count], dim=1)
        return loss / count + 0.5 * l2 * float(w.square().sum())

    before = math.inf
    for _ in range(max_rounds):
        loss = float(optimizer.step(closure))  # at the start of the round
        if before - loss < TOLERANCE * loss:
            break
        before = loss
    solution = theta.detach()
    return to_weight(solution[:, :-1]), solution[:, -1].clone()


def predict(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The likeliest class of each row of x (N, D): (N,) int64."""
    return torch.cat([F.linear(rows, weight, bias).argmax(1) for rows in x.split(ROWS)])


def top1(predictions: Tensor, targets: Tensor) -> float:
    """Share of right answers, in [0, 1]; nan when there are none to give."""
    return float((predictions == targets).double().mean()) if len(targets) else math.nan


def ci95(share: float, count: int) -> float:
    """Half-width of the 95 % interval of a share of `count` independent trials (normal approximation)."""
    return 1.96 * math.sqrt(share * (1 - share) / count) if count else math.nan


def linear_probe(train: Features, val: Features, test: Features, *, classes: int, l2: tuple[float, ...]) -> ProbeResult:
    """Fit on train with the candidates of `l2` from the greatest down until one is worse on validation than the best so far;
    report that best (of equals the greatest) on test.

    Unlabelled pictures are left out. A class that train lacks can never be answered, so its pictures count as wrong.
    Raises ValueError when train holds fewer than two classes or test no label.
    """
    train, val, test = train.labelled(), val.labelled(), test.labelled()
    kinds = len(train.y.unique())
    if kinds < 2 or not len(test.y):
        raise InputError(f"a probe takes two labels in train and a labelled test picture, got {kinds} and {len(test.y)} of these")
    train_x, val_x, test_x = standardise(train.x, val.x, test.x)
    varies = train_x.any(0)  # what is constant in train, like the border of a padded picture, can tell nothing
    if not bool(varies.all()):
        train_x, val_x, test_x = train_x[:, varies], val_x[:, varies], test_x[:, varies]
    candidates = sorted(set(l2), reverse=True)
    if not len(val.y):
        candidates = candidates[:1]
    best: ProbeResult | None = None
    fitted: tuple[Tensor, Tensor] | None = None
    for penalty in candidates:
        fitted = fit_logistic(train_x, train.y, classes, penalty, start=fitted)
        score = top1(predict(val_x, *fitted), val.y) if len(val.y) else None
        if best is None or (score or 0.0) > (best.val_top1 or 0.0):
            answers = predict(test_x, *fitted)
            best = ProbeResult(top1(answers, test.y), score, penalty, answers, test.y)
        elif (score or 0.0) < (best.val_top1 or 0.0):
            break
    assert best is not None
    return best
