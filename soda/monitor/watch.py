"""Drift of a sample against a reference, at a stated rate of false alarms: the thresholds come from the reference itself.

How: rows of the reference are dealt at random many times, as many as the new sample has to be "new" and half of all to be the
rest, and every comparison is made of each deal. That is what the comparisons look like when nothing has changed. A comparison of
the new sample gets the share of deals that differ as much, its p; the least p of all is held to the least p's of the deals. So
the rate holds for all comparisons together, however they depend on one another.

Why half of all, and half of the rate: a reference is a sample itself, and one that is a little off raises more false alarms than
another. The rate is meant for each, not for their mean alone; docs/results/drift.json has both as measured.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from soda.monitor import MonitorError, OtherEncoderError, TooFewError
from soda.monitor.comparison import Space, classifier_auc, imbalance, kolmogorov, kolmogorov_of_splits, mmd, novelty
from soda.monitor.sample import Sample
from soda.monitor.statistics import NAMES

RATE = 0.05
SPLITS = 999  # deals of the reference, at least
_DEALS = 24  # of them at least, that may raise an alarm
_MARGIN = 0.5  # of the rate: what a reference that is an unlucky sample may add is kept free
LEAST = 50  # rows, of a sample that anything can be said of
LEAST_REFERENCE = 4 * LEAST
_TAIL = 0.99  # of the reference's own distances: beyond is new


@dataclass(frozen=True)
class Comparison:
    """One comparison. value: how much differs; usual: the median when nothing has changed; p: how often as much then."""

    name: str
    value: float
    usual: float
    p: float
    alarm: bool


@dataclass(frozen=True)
class Judgement:
    """comparisons: those that could be made. novel: of each new row how new it is, 1 is where the last hundredth begins."""

    alarm: bool
    rate: float
    rows: int
    comparisons: tuple[Comparison, ...]
    novel: np.ndarray
    details: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        compared = [asdict(each) for each in self.comparisons]
        return {"alarm": self.alarm, "rate": self.rate, "rows": self.rows, "comparisons": compared, **self.details}


@dataclass(frozen=True)
class _Usual:
    """Of one size of new samples: every comparison of every split (B,), and the threshold of the least p."""

    values: dict[str, np.ndarray]
    threshold: float


class Watch:
    """Compares samples with one reference. Raises MonitorError for a reference that is too small.

    splits: deals of the reference; as many as the rate needs. permutations: for the p of the embedding's distance that the report
    names beside the others; 0 leaves it out.
    """

    def __init__(
        self, reference: Sample, *, rate: float = RATE, splits: int | None = None, permutations: int = 999, seed: int = 0
    ) -> None:
        if len(reference) < LEAST_REFERENCE:
            raise MonitorError(f"the reference has {len(reference)} rows; it needs {LEAST_REFERENCE} or more pictures")
        if not 0 < rate < 1:
            raise MonitorError(f"rate: {rate!r} is not possible; it must be above 0 and below 1")
        self.reference, self.rate, self._seed = reference, rate, seed
        self._permutations = permutations
        self._splits = splits or max(SPLITS, math.ceil(_DEALS / (rate * _MARGIN)))
        self._space = Space.of(reference.z, seed=seed)
        self._points = self._space.place(reference.z)
        self._features = self._space.features(self._points)
        self._known: dict[tuple[int, bool, bool], _Usual] = {}

    @cached_property
    def _novelty(self) -> np.ndarray:
        return novelty(self._points, self._points, own=True)

    @cached_property
    def _edge(self) -> float:
        return float(np.quantile(self._novelty, _TAIL)) or 1e-12

    def judge(self, new: Sample) -> Judgement:
        """Raises MonitorError for a sample of another encoder, or too small a one; of a large one a part is compared."""
        if new.encoder != self.reference.encoder:
            raise OtherEncoderError(
                "the sample and the reference are of different encoders; make a reference with the encoder in use"
            )
        if len(new) < LEAST:
            raise TooFewError(f"the sample has {len(new)} rows of {new.seen:,} pictures; {LEAST} or more can be compared")
        random = np.random.default_rng(self._seed)
        points = self._space.place(new.z)
        distances = novelty(points, self._points)
        novel, most = distances / self._edge, len(self.reference) // 2
        if len(new) > most:
            chosen = np.sort(random.permutation(len(new))[:most])
            new, points, distances = new.rows(chosen), points[chosen], distances[chosen]
        labelled = bool((new.labels != "").all() and (self.reference.labels != "").all())
        counted = new.statistics.shape[1] > 0 and self.reference.statistics.shape[1] > 0
        usual = self._usual(len(new), labelled, counted)
        values, details = self._values(new, points, distances, labelled, counted, random)
        p = {name: float(_ranks(usual.values[name], np.asarray([value]))[0]) for name, value in values.items()}
        rows = tuple(
            Comparison(name, value, float(np.median(usual.values[name])), p[name], p[name] <= usual.threshold)
            for name, value in values.items()
        )
        if self._permutations:
            details |= {"mmd_permutation_p": self._permuted(self._space.features(points), random)}
        alarm = any(each.alarm for each in rows)
        return Judgement(alarm, self.rate, len(new), rows, novel, details)

    def _values(
        self, new: Sample, points: np.ndarray, distances: np.ndarray, labelled: bool, counted: bool, random: np.random.Generator
    ) -> tuple[dict[str, float], dict[str, float]]:
        area, p = classifier_auc(points, self._points, random)
        features = self._space.features(points)
        values = {
            "embedding": float(mmd(features.mean(axis=0), self._features.mean(axis=0))),
            "classifier": area,
            "novelty": float((distances > self._edge).mean()),
        }
        if counted:
            for column, name in enumerate(NAMES):
                values[name] = kolmogorov(new.statistics[:, column], self.reference.statistics[:, column])
        if labelled:
            names = np.unique(np.concatenate([new.labels, self.reference.labels]))
            shares = [(sample.labels[:, None] == names).mean(axis=0) for sample in (new, self.reference)]
            values["labels"] = float(imbalance(shares[0], shares[1]))
        return values, {"classifier_auc": area, "classifier_p": p, "novelty_rate": values["novelty"]}

    def _permuted(self, features: np.ndarray, random: np.random.Generator) -> float:
        """p of the embedding's distance when rows of both samples are dealt anew."""
        both, count = np.concatenate([features, self._features]).astype(np.float32), len(features)
        total = both.sum(axis=0)
        dealt = np.zeros((self._permutations, len(both)), np.float32)
        for row in dealt:
            row[random.permutation(len(both))[:count]] = 1
        sums = dealt @ both
        by_chance = mmd(sums / count, (total - sums) / (len(both) - count))
        found = mmd(features.mean(axis=0), self._features.mean(axis=0))
        return float((1 + (by_chance >= found).sum()) / (1 + self._permutations))

    def _usual(self, count: int, labelled: bool, counted: bool) -> _Usual:
        """What the comparisons of `count` new rows are when nothing has changed."""
        key = (count, labelled, counted)
        if key not in self._known:
            values = self._split(count, labelled, counted)
            least = np.min([_ranks(each, each, own=True) for each in values.values()], axis=0)
            threshold = _largest_below(least, self.rate * _MARGIN)
            if not threshold:
                raise MonitorError(f"rate: {self.rate:g} cannot be told from none by {self._splits} deals of the reference")
            self._known[key] = _Usual(values, threshold)
        return self._known[key]

    def _split(self, count: int, labelled: bool, counted: bool) -> dict[str, np.ndarray]:
        random, total = np.random.default_rng((self._seed, count)), len(self.reference)
        chosen, rest = np.zeros((2, self._splits, total), bool)
        for new, others in zip(chosen, rest, strict=True):
            dealt = random.permutation(total)
            new[dealt[:count]] = others[dealt[total - total // 2 :]] = True
        weights, of_rest = chosen.astype(np.float32), rest.astype(np.float32)

        def means(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            rows = rows.astype(np.float32)
            return weights @ rows / count, of_rest @ rows / (total // 2)

        pairs = zip(chosen, rest, strict=True)
        values = {
            "embedding": mmd(*means(self._features)),
            "classifier": np.asarray([classifier_auc(self._points[a], self._points[b], random)[0] for a, b in pairs]),
            "novelty": weights @ (self._novelty > self._edge).astype(np.float32) / count,
        }
        if counted:
            for column, name in enumerate(NAMES):
                values[name] = kolmogorov_of_splits(self.reference.statistics[:, column], chosen, rest)
        if labelled:
            names = np.unique(self.reference.labels)
            values["labels"] = imbalance(*means(self.reference.labels[:, None] == names))
        return values


def _ranks(usual: np.ndarray, values: np.ndarray, *, own: bool = False) -> np.ndarray:
    """p of each value: the share of the usual ones, itself among them, that are as large. A tie counts.

    own: the values are the usual ones.
    """
    order = np.sort(usual)
    as_large = len(order) - np.searchsorted(order, values - 1e-12 * np.abs(values), "left")
    return (as_large + (0 if own else 1)) / (1 + len(order))


def _largest_below(least: np.ndarray, rate: float) -> float:
    """The largest threshold at which no more than the share `rate` of the splits raises an alarm."""
    found = np.sort(least)
    steps = np.unique(found)
    allowed = [step for step in steps if np.searchsorted(found, step, "right") <= rate * len(found)]
    return float(allowed[-1]) if allowed else 0.0
