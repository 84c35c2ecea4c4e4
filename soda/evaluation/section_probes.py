"""What every section of z knows of every factor: the same linear probe on each section alone, and on the whole of z."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from soda.data.columns import SPLITS
from soda.evaluation.factors import Factors
from soda.evaluation.linear_probe import Features, ProbeResult, linear_probe
from soda.evaluation.paired import right
from soda.model.modulation import cut_sections

MAX_TRAIN = 4000  # pictures that a probe is fitted on: one for every section and factor

Draw = Callable[[Tensor], np.ndarray]
"""Pictures (N, S, S, C) uint8 from z (N, D), always from the same noise."""


@dataclass(frozen=True)
class SectionProbes:
    """Accuracies on test in [0, 1]. by_section: (sections, F), 0 the finest; whole, majority: (F,).

    right: by factor, whether the probe of all of z is right on each test image with a value of it: (n,) of booleans.
    """

    by_section: np.ndarray
    whole: np.ndarray
    majority: np.ndarray
    right: dict[str, np.ndarray]

    @property
    def lift(self) -> np.ndarray:
        """How far each section comes from always naming the commonest value (0) to all right (1): (sections, F), 0 at least."""
        room = np.where(self.majority < 1, 1 - self.majority, 1.0)
        return ((self.by_section - self.majority) / room).clip(0)


def probe_factor(z: dict[str, Tensor], factors: Factors, name: str, l2: tuple[float, ...]) -> ProbeResult:
    """The linear probe of one factor. z: split -> (n, D) beside the factors' codes."""
    sets = [Features(z[split].float(), torch.from_numpy(factors.codes[split][name])) for split in SPLITS]
    sets[0] = Features(sets[0].x[:MAX_TRAIN], sets[0].y[:MAX_TRAIN])
    return linear_probe(*sets, classes=len(factors.names[name]), l2=l2)


def section_probes(
    z: dict[str, Tensor], factors: Factors, names: list[str], sections: int, l2: tuple[float, ...]
) -> SectionProbes:
    """Probe each of `names` from each section, and from all of z (N, D). Raises ValueError where `sections` do not divide D."""
    cut = {split: cut_sections(values, sections) for split, values in z.items()}  # (n, sections, D / sections)
    parts = [{split: values[:, k] for split, values in cut.items()} for k in range(sections)]
    table = np.array([[probe_factor(part, factors, name, l2).test_top1 for name in names] for part in parts])
    whole = {name: probe_factor(z, factors, name, l2) for name in names}
    return SectionProbes(
        table,
        np.array([each.test_top1 for each in whole.values()]),
        np.array([factors.majority(name) for name in names]),
        {name: right(each) for name, each in whole.items()},
    )


def cuts(sections: int) -> list[tuple[int, ...]]:
    """Every way to cut z once between fine and coarse, and to take one side: the finer sides first, growing."""
    fine = [tuple(range(c)) for c in range(1, sections)]
    return fine + [tuple(range(c, sections)) for c in range(sections - 1, 0, -1)]


def describe_cut(chosen: tuple[int, ...], sections: int) -> str:
    """A cut in words: "the 2 finest of 4 sections"."""
    side = "finest" if 0 in chosen else "coarsest"
    return f"the {len(chosen)} {side} of {sections} sections" if len(chosen) > 1 else f"the {side} of {sections} sections"
