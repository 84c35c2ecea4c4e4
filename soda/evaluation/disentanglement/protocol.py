"""All scores of one representation by the published protocols, over several draws of points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from soda.common.errors import InputError
from soda.evaluation.disentanglement.dci import FactorData
from soda.evaluation.disentanglement.dci_boosted import boosted_dci
from soda.evaluation.disentanglement.dci_lasso import lasso_dci
from soda.evaluation.disentanglement.factor_vae_score import factor_vae_score
from soda.evaluation.disentanglement.mutual_information_gap import mutual_information_gap
from soda.evaluation.disentanglement.ridgeway_mozer import explicitness, modularity
from soda.evaluation.disentanglement.separated_attributes import separated_attributes

SCORES = (
    "dci_d",
    "dci_c",
    "dci_i",
    "lasso_d",
    "lasso_c",
    "lasso_i",
    "mig",
    "sap",
    "factorvae",
    "modularity",
    "explicitness",
)


@dataclass(frozen=True)
class Points:
    """How many points each split gives a seed: train fits, val chooses Lasso's penalty, test is asked."""

    train: int = 10_000
    val: int = 1_000
    test: int = 5_000


def score_once(data: FactorData, *, seed: int, exact: bool = False) -> dict[str, float]:
    """Every score of SCORES. exact: boosted trees as disentanglement_lib grows them, which takes hours on many components.

    Information, gaps and votes are taken on train, as published, which needs no test. Raises InputError for values that are not
    finite or factors that cannot be told at all.
    """
    for split, x in data.x.items():
        if not np.isfinite(x).all():
            raise InputError(f"the representation of the {split} split holds values that are not finite")
    if len(data.y["train"]) < 2:
        raise InputError(f"disentanglement takes two known factors, not {len(data.y['train'])}")
    x, y = data.x["train"], data.y["train"]
    dci = boosted_dci(data, seed=seed, exact=exact)[:3]
    lasso = lasso_dci(data)[:3]
    others = (
        mutual_information_gap(x, y),
        separated_attributes(data),
        factor_vae_score(x, y, seed=seed),
        modularity(x, y),
        explicitness(data),
    )
    return dict(zip(SCORES, (*dci, *lasso, *others), strict=True))


def averaged(runs: list[Mapping[str, float]]) -> dict[str, float]:
    """Means over seeds; `<score>_sd` beside each is their deviation (nought of one seed); `seeds` is their number."""
    found: dict[str, float] = {}
    for key in runs[0]:
        values = np.array([run[key] for run in runs])
        found[key] = float(values.mean())
        found[f"{key}_sd"] = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return {**found, "seeds": len(runs)}
