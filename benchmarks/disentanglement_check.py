"""Our scores beside those of disentanglement_lib (Apache-2.0; Locatello et al. 2019) on the same codes.

    pip install --no-deps disentanglement-lib==1.5
    python -m benchmarks.disentanglement_check

Its files of scores are loaded alone: the rest of it takes TensorFlow 1. The codes are made here, turned more and more. Recorded
(disentanglement-lib 1.5, scikit-learn 1.9.1), ours and theirs:

    turned by                0               0.3             3
    dci d                    .9052 .9001     .5438 .5394     .3664 .3536
    dci d, exact trees       .9004 .9001     .5395 .5394     .3536 .3536
    dci c                    .8907 .8844     .5860 .5688     .3389 .3269
    dci i                    .9143 .9140     .8953 .8920     .8787 .8747
    mig                      .8543 .8543     .4086 .4086     .1595 .1595
    sap                      .4493 .4507     .1787 .1780     .0857 .0847
    factorvae               1.0000 1.0000    .9984 1.0000    .8002 .8120
    modularity               .8565 .8565     .9544 .9544     .8107 .8107
    explicitness             .8471 .9868     .8471 .9869     .8470 .9868

Explicitness differs by intent: Ridgeway & Mozer ask one-against-all classifiers, as ours are; scikit-learn's LogisticRegression,
which theirs calls, was of this kind when it was written and is multinomial today. SAP: ours standardises, and solves to the end.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

import numpy as np

from soda.evaluation.disentanglement.dci import FactorData
from soda.evaluation.disentanglement.dci_boosted import boosted_dci
from soda.evaluation.disentanglement.factor_vae_score import LEAST_SPREAD, POINTS, VOTES, factor_vae_score
from soda.evaluation.disentanglement.information import BINS
from soda.evaluation.disentanglement.mutual_information_gap import mutual_information_gap
from soda.evaluation.disentanglement.ridgeway_mozer import explicitness, modularity
from soda.evaluation.disentanglement.separated_attributes import separated_attributes

VALUES = (3, 2, 4, 5)
SIZES = {"train": 1500, "val": 100, "test": 750}
DIM = 6


def _stub(name: str, **members: Any) -> None:
    module = types.ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module
    if "." in name:
        parent, _, child = name.rpartition(".")
        setattr(sys.modules[parent], child, module)


def their_scores() -> dict[str, Any]:
    """Their modules by name, with the settings of their published configurations."""
    _stub("gin", configurable=lambda *_, **__: lambda function: function, REQUIRED=object())
    _stub("gin.tf")
    _stub("absl", logging=types.SimpleNamespace(info=lambda *_: None))
    _stub("six")
    _stub("six.moves", range=range)
    try:
        names = ("utils", "dci", "mig", "sap_score", "factor_vae", "modularity_explicitness")
        found = {name: importlib.import_module(f"disentanglement_lib.evaluation.metrics.{name}") for name in names}
    except ImportError as error:
        raise SystemExit(f"{error}: pip install --no-deps disentanglement-lib==1.5") from None
    found["utils"].make_discretizer = lambda target: np.stack([np.digitize(c, np.histogram(c, BINS)[1][:-1]) for c in target])
    return found


class World:
    """A ground truth as theirs has it, whose observations are the codes themselves."""

    num_factors = len(VALUES)

    def __init__(self, turn: float) -> None:
        generator = np.random.default_rng(0)
        self.rotation = np.linalg.qr(np.eye(DIM) + turn * generator.standard_normal((DIM, DIM)))[0]

    def sample_factors(self, count: int, state: Any) -> np.ndarray:
        return np.stack([state.randint(0, number, count) for number in VALUES], 1)

    def sample_observations_from_factors(self, factors: np.ndarray, state: Any) -> np.ndarray:
        z = 0.3 * state.standard_normal((len(factors), DIM))
        for k, number in enumerate(VALUES):
            z[:, k] += (factors[:, k] - (number - 1) / 2) / np.sqrt((number**2 - 1) / 12)
        return z @ self.rotation

    def points(self) -> FactorData:
        """Drawn once, for both."""
        x, y, state = {}, {}, np.random.RandomState(0)
        for split, count in SIZES.items():
            factors = self.sample_factors(count, state)
            x[split] = self.sample_observations_from_factors(factors, state)
            x[split] = x[split] / x.setdefault("spread", x[split].std(0)) if split == "train" else x[split] / x["spread"]
            y[split] = {f"f{k}": factors[:, k] for k in range(len(VALUES))}
        return FactorData({split: x[split] for split in SIZES}, y)


def compare(theirs: dict[str, Any], turn: float) -> list[tuple[str, float, float]]:
    """(score, ours, theirs) on codes turned by `turn` of a random rotation."""
    world = World(turn)
    data = world.points()
    x, y = data.x, {split: np.stack(list(columns.values())) for split, columns in data.y.items()}  # y: (F, N)
    dci = theirs["dci"]._compute_dci(x["train"].T, y["train"], x["test"].T, y["test"])
    votes, state = [], np.random.RandomState(0)
    spread = x["train"].var(0, ddof=1)
    # Their batches are fresh codes; standardised as the points are.
    scale = World(turn).sample_observations_from_factors(world.sample_factors(20_000, state), state).std(0)
    for count in VOTES.values():
        batch = theirs["factor_vae"]._generate_training_batch(
            world,
            lambda z: z / scale,
            POINTS,
            count // 5,
            state,
            spread,
            theirs["factor_vae"]._prune_dims(spread, LEAST_SPREAD),
        )
        votes.append(batch)
    right = votes[1][votes[0].argmax(0), np.arange(DIM)].sum() / votes[1].sum()
    explicit = theirs["modularity_explicitness"]
    table = theirs["utils"].discrete_mutual_info(theirs["utils"].make_discretizer(x["train"].T), y["train"])
    areas = [explicit.explicitness_per_factor(x["train"].T, y["train"][k], x["test"].T, y["test"][k])[1] for k in range(4)]
    fast, exact = boosted_dci(data, seed=0), boosted_dci(data, seed=0, exact=True)
    keys = ("disentanglement", "completeness", "informativeness_test")
    return [
        *((f"dci {key}", ours, dci[key]) for key, ours in zip(keys, fast[:3], strict=True)),
        *((f"dci {key}, exact trees", ours, dci[key]) for key, ours in zip(keys, exact[:3], strict=True)),
        (
            "mig",
            mutual_information_gap(x["train"], data.y["train"]),
            theirs["mig"]._compute_mig(x["train"].T, y["train"])["discrete_mig"],
        ),
        (
            "sap",
            separated_attributes(data),
            theirs["sap_score"]._compute_sap(x["train"].T, y["train"], x["test"].T, y["test"], False)["SAP_score"],
        ),
        ("factorvae", factor_vae_score(x["train"], data.y["train"], seed=0), right),
        ("modularity", modularity(x["train"], data.y["train"]), explicit.modularity(table)),
        ("explicitness", explicitness(data), float(np.mean(areas))),
    ]


def main() -> None:
    theirs = their_scores()
    for turn in (0.0, 0.3, 3.0):
        print(f"turned by {turn:g}: ours, theirs")
        for name, ours, other in compare(theirs, turn):
            print(f"  {name:<34}{ours:7.4f}{other:8.4f}", flush=True)


if __name__ == "__main__":
    main()
