"""Differences paired by seed, their intervals, and Holm's correction for many claims."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, stdev

LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """Mean of the paired differences, its 95 % interval, and the two-sided p-value of the paired t-test."""

    effect: float
    low: float
    high: float
    p: float
    pairs: int


def paired(better: dict[int, float], worse: dict[int, float]) -> Difference | None:
    """Of the seeds (seed -> value) that both sides have; None for fewer than two."""
    from scipy import stats

    differences = [better[seed] - worse[seed] for seed in sorted(better.keys() & worse.keys())]
    if len(differences) < 2:
        return None
    effect, error = fmean(differences), stdev(differences) / math.sqrt(len(differences))
    if error == 0:
        return Difference(effect, effect, effect, 1.0 if effect == 0 else 0.0, len(differences))
    freedom = len(differences) - 1
    half = float(stats.t.ppf(1 - LEVEL / 2, freedom)) * error
    return Difference(effect, effect - half, effect + half, float(2 * stats.t.sf(abs(effect) / error, freedom)), len(differences))


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """Adjusted p-values (Holm 1979): the i-th smallest of n times n - i, made monotone, at most 1."""
    adjusted, worst = {}, 0.0
    for i, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        worst = max(worst, min(1.0, p * (len(p_values) - i)))
        adjusted[name] = worst
    return adjusted


def verdict(difference: Difference, adjusted_p: float) -> str:
    """holds | opposite | undecided, at LEVEL after the correction."""
    if adjusted_p >= LEVEL:
        return "undecided"
    return "holds" if difference.effect > 0 else "opposite"
