"""SAP, the separated attribute predictability (Kumar et al. 2018, section 3), for factors that are categories.

Each component alone tells each factor by a linear classifier; the score is how far the best component is ahead of the second. It
is that of disentanglement_lib: one-against-all support vector machines with squared hinge, C = 0.01 and balanced weights
(scikit-learn's LinearSVC). It has two numbers a component and value, so that all are fitted here at once by Newton's method.
Components are standardised first, so that their scale does not matter (theirs are as they come, near unit variance in a VAE).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from soda.evaluation.disentanglement.dci import FactorData
from soda.evaluation.linear_probe import standardise

C = 0.01
_ROUNDS = 30
_CHUNK = 32  # components at once


def separated_attributes(data: FactorData) -> float:
    """The gap of accuracies on test, mean over factors, in [0, 1]."""
    gaps = []
    for factor in data.y["train"]:
        scores = np.sort(component_accuracies(data, factor))[::-1]
        gaps.append(scores[0] - (scores[1] if len(scores) > 1 else 0.0))
    return float(np.mean(gaps))


def component_accuracies(data: FactorData, factor: str) -> np.ndarray:
    """Accuracy on test of each component's own classifier of a factor: (D,); nought of a component that is constant."""
    (x, y), (test_x, test_y) = data.pairs("train", factor), data.pairs("test", factor)
    fitted, asked = standardise(torch.from_numpy(x).float(), torch.from_numpy(test_x).float())
    values, codes = np.unique(y, return_inverse=True)
    signs = torch.from_numpy(np.where(codes[:, None] == np.arange(len(values)), 1.0, -1.0)).float()  # (N, K)
    counts = np.bincount(codes)
    own = torch.from_numpy(len(y) / (len(values) * counts)).float()  # (K,), scikit-learn's balance
    others = own.flip(0) if len(values) == 2 else torch.ones_like(own)  # liblinear's: of many values the rest is not weighted
    weights = torch.where(signs > 0, own, others)
    found = []
    for start in range(0, x.shape[1], _CHUNK):
        part = fitted[:, start : start + _CHUNK]
        slope, shift = _fit(part, signs, C * weights)  # (d, K) each
        scores = asked[:, start : start + _CHUNK, None] * slope + shift  # (M, d, K)
        answers = values[scores.argmax(2).numpy()]
        found.append((answers == test_y[:, None]).mean(0) * part.any(0).numpy())
    return np.concatenate(found)


def _fit(x: Tensor, signs: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Minimise (w^2 + b^2) / 2 + sum of weight * max(0, 1 - sign (w x + b))^2 for each component and value.

    x: (N, d); signs, weights: (N, K) -> w and b, (d, K). The objective is piecewise quadratic: a Newton step solves two equations
    in two unknowns over the points within the margin, and is halved until it gains.
    """
    slope, shift = torch.zeros(x.shape[1], signs.shape[1]), torch.zeros(x.shape[1], signs.shape[1])

    def loss(w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        short = (1 - signs[:, None] * (x[:, :, None] * w + b)).clamp(min=0)  # (N, d, K)
        return short, (w**2 + b**2) / 2 + (weights[:, None] * short**2).sum(0)

    short, value = loss(slope, shift)
    for _ in range(_ROUNDS):
        inside = weights[:, None] * (short > 0)
        pull = weights[:, None] * short * signs[:, None]
        grad_w, grad_b = slope - 2 * (pull * x[:, :, None]).sum(0), shift - 2 * pull.sum(0)
        mixed = 2 * (inside * x[:, :, None]).sum(0)
        h_ww, h_bb = 1 + 2 * (inside * x[:, :, None] ** 2).sum(0), 1 + 2 * inside.sum(0)
        whole = h_ww * h_bb - mixed**2
        step_w, step_b = (h_bb * grad_w - mixed * grad_b) / whole, (h_ww * grad_b - mixed * grad_w) / whole
        rate = torch.ones_like(slope)
        for _ in range(8):
            short, new = loss(slope - rate * step_w, shift - rate * step_b)
            worse = new > value
            if not bool(worse.any()):
                break
            rate = torch.where(worse, rate / 2, rate)
        rate = torch.where(new > value, 0.0, rate)
        slope, shift = slope - rate * step_w, shift - rate * step_b
        gained = bool((value - new > 1e-6 * value).any())
        short, value = loss(slope, shift)
        if not gained:
            break
    return slope, shift
