"""The truth beside the pictures: known factors (colour, style, code point ...), and which of them a measure can use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from soda.data.columns import FACTOR
from soda.data.dataset import PreparedData
from soda.data.manifest_columns import indices
from soda.evaluation.samples import Sample

MAX_VALUES = 64
"""A factor of more values (a code point, a file name) tells pictures apart rather than describing them."""

MIN_IMAGES = 20
"""Training pictures without which a value counts as unknown: nothing could be learnt about it."""

KNOWN_SHARE = 0.9
"""Least share of test pictures whose value training has shown, for a factor to be `learnable`."""


@dataclass(frozen=True)
class Factors:
    """names: factor -> its values. codes: split -> factor -> (n,) int64 index into them, -1 where it is missing.

    The arrays run beside the pictures of the samples of the same splits ("train", "val", "test").
    """

    names: dict[str, list[str]]
    codes: dict[str, dict[str, np.ndarray]]

    def known(self, name: str) -> np.ndarray:
        """Values of `name` that at least MIN_IMAGES training pictures have: (k,) int64."""
        train = self.codes["train"][name]
        values, counts = np.unique(train[train >= 0], return_counts=True)
        return values[counts >= MIN_IMAGES]

    @property
    def learnable(self) -> list[str]:
        """Factors that a classifier fitted on train can tell on test: 2 to MAX_VALUES values, few of which only test has."""
        found = []
        for name, values in self.names.items():
            known, test = self.known(name), self.codes["test"][name]
            test = test[test >= 0]
            if len(known) >= 2 and len(values) <= MAX_VALUES and len(test) and np.isin(test, known).mean() >= KNOWN_SHARE:
                found.append(name)
        return found

    @property
    def held_out(self) -> list[str]:
        """Factors of which no test value occurs in train or val, such as the code point of emoji that are split by code point."""
        found = []
        for name in self.names:
            test, others = self.codes["test"][name], np.concatenate([self.codes["train"][name], self.codes["val"][name]])
            if (test >= 0).any() and not np.isin(test[test >= 0], others).any():
                found.append(name)
        return found

    def only(self, names: list[str], positions: dict[str, np.ndarray]) -> Factors:
        """`names` alone, at `positions` of each split."""
        codes = {split: {name: self.codes[split][name][here] for name in names} for split, here in positions.items()}
        return Factors({name: self.names[name] for name in names}, codes)

    def majority(self, name: str) -> float:
        """Test accuracy of always naming the commonest training value, in [0, 1]."""
        train, test = self.codes["train"][name], self.codes["test"][name]
        values, counts = np.unique(train[train >= 0], return_counts=True)
        return float((test[test >= 0] == values[counts.argmax()]).mean())

    def commonest(self, names: list[str], limit: int) -> list[str]:
        """At most `limit` of `names`, those first that most training pictures have a value of; of equals the most even ones."""

        def rank(name: str) -> tuple[float, float]:
            train = self.codes["train"][name]
            counts = np.bincount(train[train >= 0], minlength=1).astype(float)
            share = counts[counts > 0] / max(1.0, counts.sum())
            return float(counts.sum()), float(-(share * np.log(share)).sum())

        return sorted(names, key=rank, reverse=True)[:limit]


def read_factors(data: PreparedData, samples: dict[str, Sample]) -> Factors | None:
    """The known factors of the pictures in `samples` (by split), from the manifest's `factor.<name>`; None without any."""
    columns = [name for name in pq.read_schema(data.manifest).names if name.startswith(FACTOR)]
    names: dict[str, list[str]] = {}
    codes: dict[str, dict[str, np.ndarray]] = {split: {} for split in samples}
    for column in columns:
        name = column.removeprefix(FACTOR)
        names[name] = values = [each for each in data.distinct(column) if each not in ("", "None")]
        for split, sample in samples.items():
            words, numbers = sample.split.codes(column)
            codes[split][name] = indices(np.asarray(words, dtype=str), values)[numbers[sample.indices]]
    return Factors(names, codes) if names else None
