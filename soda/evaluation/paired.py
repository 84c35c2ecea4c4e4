"""Whether one classifier is better than another on the same images: McNemar's test, exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from soda.common.errors import InputError
from soda.evaluation.registry import Quantity, Row, Table

if TYPE_CHECKING:
    from soda.evaluation.linear_probe import ProbeResult

P_FORMAT = "{:.2g}"


@dataclass(frozen=True)
class Paired:
    """Two classifiers on the same images. difference: of their shares of right answers, the first minus the second.

    only_first, only_second: images that one of them alone gets right, which are all that the test goes by. p: chance of so uneven
    a division of these, or a more uneven one, where both were equally good (two-sided).
    """

    difference: float
    only_first: int
    only_second: int
    p: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> Paired:
    """Compare two classifiers by whether each is right on each image: (N,) of booleans both (McNemar 1947, in its exact form).

    The binomial test of an even division of the images on which they differ: right for few of them, too, where the chi-squared
    approximation is not. p is 1 where they never differ. Raises ValueError for arrays that do not go together, and for none.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise InputError(f"a paired test takes two lists of the same images, got shapes {first.shape} and {second.shape}")
    if first.dtype != bool or second.dtype != bool:
        raise InputError(f"a paired test takes right or wrong for each image, got {first.dtype} and {second.dtype}")
    from scipy.stats import binomtest

    ours, theirs = int((first & ~second).sum()), int((second & ~first).sum())
    p = float(binomtest(ours, ours + theirs).pvalue) if ours + theirs else 1.0
    return Paired((ours - theirs) / len(first), ours, theirs, p)


def against(first: np.ndarray, others: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """One classifier against each of several, by name, as a measure reports it: difference and p. (N,) of booleans each."""
    found = {name: mcnemar(first, other) for name, other in others.items()}
    return {name: {"difference": each.difference, "p": each.p} for name, each in found.items()}


def right(result: ProbeResult) -> np.ndarray:
    """Whether a probe is right on each labelled test image: (N,) of booleans."""
    return np.asarray((result.predictions == result.targets).cpu().numpy(), bool)


def paired_quantities(titles: Mapping[str, str]) -> tuple[Quantity, ...]:
    """What a measure declares that has `against` under its key `paired`. titles: of what it is held against, by name."""
    differences = (Quantity(f"paired.{k}.difference", f"Latent minus {v}, same images", "{:+.1%}") for k, v in titles.items())
    chances = (Quantity(f"paired.{k}.p", f"Latent against {v}: p of McNemar’s test", P_FORMAT) for k, v in titles.items())
    return (*differences, *chances)


def paired_table(titles: Mapping[str, str]) -> Table:
    """The same as a table."""
    rows = tuple(Row(title, (f"paired.{k}.difference", f"paired.{k}.p")) for k, title in titles.items())
    return Table("The latent against others, image by image", ("Against", "Difference", "p, McNemar"), rows)
