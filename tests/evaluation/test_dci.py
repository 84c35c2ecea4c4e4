"""DCI, modularity and explicitness: worked examples, an independent second computation, and representations of known quality."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.feature_selection import mutual_info_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from soda.evaluation.disentanglement.dci import FactorData, dci_scores
from soda.evaluation.disentanglement.dci_forest import disentanglement, forest_importance
from soda.evaluation.disentanglement.ridgeway_mozer import explicitness, modularity

SIZES = {"train": 300, "val": 100, "test": 200}


def world(kind: str, values: tuple[int, ...] = (3, 2, 4), dim: int = 3, seed: int = 0) -> FactorData:
    """Latents of factors with so many values: each in its own component ("apart"), all turned together ("turned"), or noise."""
    generator = np.random.default_rng(seed)
    rotation = np.eye(dim) - 2 / dim  # a reflection in which every component meets every other
    x, y = {}, {}
    for split, count in SIZES.items():
        codes = {f"f{k}": generator.integers(0, number, count) for k, number in enumerate(values)}
        z = 0.05 * generator.standard_normal((count, dim))
        if kind == "noise":
            z = generator.standard_normal((count, dim))
        else:
            for k, column in enumerate(codes.values()):
                z[:, k] += (column - column.mean()) / column.std()
        x[split], y[split] = z @ rotation if kind == "turned" else z, codes
    return FactorData(x, y)


def test_dci_of_a_matrix_worked_out_by_hand() -> None:
    importance = np.array([[0.75, 0.0], [0.25, 0.5], [0.0, 0.5]])
    # Components: (.75, 0) and (0, .5) count for one factor, 1 each; (.25, .5) has shares 1/3 and 2/3, of entropy .918296 bits.
    # Their weights are .375, .375 and .25 of all importance.
    wanted_d = 0.375 * 1 + 0.375 * (1 - 0.9182958) + 0.25 * 1
    # Factors, to the base 3: (.75, .25) has .5623351 / 1.0986123, (.5, .5) has .6931472 / 1.0986123; they weigh alike.
    wanted_c = 0.5 * (1 - 0.5623351 / 1.0986123) + 0.5 * (1 - 0.6931472 / 1.0986123)
    assert dci_scores(importance) == pytest.approx((wanted_d, wanted_c), abs=1e-6)


@pytest.mark.parametrize(
    ("importance", "d", "c"),
    [
        (np.eye(4), 1, 1),
        (np.ones((4, 3)), 0, 0),
        (np.zeros((4, 3)), 0, 0),
        ([[0.5, 0], [0.5, 0], [0, 0.5], [0, 0.5]], 1, 0.5),  # two components a factor: pure, but a factor needs both
        ([[1, 1], [0, 0], [0, 0]], 0, 1),  # one component for both factors
        ([[0.7], [0.3]], 1, 1 - entropy([0.7, 0.3], base=2)),  # a single factor: nothing to confuse it with
    ],
)
def test_dci_of_extremes(importance: list[list[float]], d: float, c: float) -> None:
    assert dci_scores(np.asarray(importance, float)) == pytest.approx((d, c), abs=1e-9)


def test_negative_importances_are_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        dci_scores(np.array([[1.0, -0.1]]))


def test_a_factor_a_component_scores_near_one_and_turning_z_lowers_disentanglement_alone() -> None:
    apart, turned, noise = (disentanglement(world(kind)) for kind in ("apart", "turned", "noise"))
    assert min(apart.dci_d, apart.dci_c) > 0.95
    assert apart.dci_i == pytest.approx(1, abs=0.01)
    assert apart.modularity > 0.95
    assert apart.explicitness > 0.8  # a value between two others is on neither side of a line
    assert turned.dci_d < 0.6 * apart.dci_d
    assert turned.dci_c < 0.8 * apart.dci_c
    assert turned.modularity < apart.modularity - 0.2
    assert turned.explicitness == pytest.approx(apart.explicitness, abs=0.03)  # a linear reader does not mind the turn
    assert turned.dci_i > 0.8
    assert noise.dci_i < 0.5
    assert noise.explicitness == pytest.approx(0.5, abs=0.08)
    assert noise.dci_d < 0.3


def test_disentanglement_is_the_same_each_time() -> None:
    one, two = (disentanglement(world("turned"), seed=3) for _ in range(2))
    assert np.array_equal(one.importance, two.importance)
    assert (one.dci_d, one.modularity, one.explicitness) == (two.dci_d, two.modularity, two.explicitness)


def second_dci(importance: np.ndarray) -> tuple[float, float]:
    """Disentanglement and completeness once more, in SciPy's entropy."""
    rows, columns = importance[importance.sum(1) > 1e-9], importance
    d = np.average(1 - entropy(rows, axis=1, base=importance.shape[1]), weights=rows.sum(1))
    c = np.average(1 - entropy(columns, axis=0, base=importance.shape[0]), weights=columns.sum(0))
    return float(d), float(c)


def test_dci_agrees_with_scipy_on_the_same_importances_and_with_boosted_trees_on_the_same_latents() -> None:
    for kind in ("apart", "turned"):
        data = world(kind)
        ours = disentanglement(data)
        assert (ours.dci_d, ours.dci_c) == pytest.approx(second_dci(ours.importance), abs=1e-9)
        columns, right = [], []
        for name in data.y["train"]:
            trees = GradientBoostingClassifier(n_estimators=30, random_state=0).fit(data.x["train"], data.y["train"][name])
            columns.append(trees.feature_importances_.clip(0))  # boosting leaves -1e-17 here and there
            right.append(trees.score(data.x["test"], data.y["test"][name]))
        theirs = second_dci(np.stack(columns, axis=1))
        # Another family of trees weighs components otherwise; the two must still tell the same of the representation.
        assert ours.dci_d == pytest.approx(theirs[0], abs=0.12), kind
        assert ours.dci_c == pytest.approx(theirs[1], abs=0.12), kind
        assert ours.dci_i == pytest.approx(np.mean(right), abs=0.08), kind


def test_modularity_worked_out_by_hand() -> None:
    # Four pictures a cell of two binary factors. Component 0 is the first factor; component 1 is their AND.
    a, b = np.repeat([0, 0, 1, 1], 4), np.repeat([0, 1, 0, 1], 4)
    x = np.stack([a, a & b], axis=1).astype(float)

    def h(*shares: float) -> float:
        return -sum(p * math.log(p) for p in shares)

    about = h(0.25, 0.75) - 0.5 * h(0.5, 0.5)  # the AND tells as much of either factor: 0 for this component
    wanted = (1 + (1 - about**2 / about**2)) / 2
    assert modularity(x, {"a": a, "b": b}) == pytest.approx(wanted, abs=1e-9)
    # A third factor that nothing tells: (2 - 1) squares of others over 2 more factors.
    c = np.tile([0, 1, 0, 1], 4)
    assert modularity(x, {"a": a, "b": b, "c": c}) == pytest.approx((1 + 0.5) / 2, abs=1e-9)


def test_modularity_agrees_with_an_independent_estimate_of_information() -> None:
    data = world("turned")
    x, y = data.x["test"], data.y["test"]
    binned = np.stack([np.floor((c - c.min()) / (np.ptp(c) + 1e-12) * 20).clip(0, 19) for c in x.T], axis=1)
    table = np.stack([mutual_info_classif(binned, v, discrete_features=True) for v in y.values()], axis=1)
    best = table.max(1)
    off = np.where(table == best[:, None], 0, table)
    wanted = np.mean(1 - (off**2).sum(1) / (best**2 * (table.shape[1] - 1)))
    assert modularity(x, y) == pytest.approx(wanted, abs=0.01)


def test_explicitness_agrees_with_another_logistic_regression() -> None:
    data = world("noise")
    for split, z in data.x.items():  # a faint trace of each factor
        for k, column in enumerate(data.y[split].values()):
            z[:, k] += 0.5 * column
    areas = []
    for name in data.y["train"]:
        for value in np.unique(data.y["train"][name]):
            model = LogisticRegression(C=1.0).fit(data.x["train"], data.y["train"][name] == value)
            areas.append(roc_auc_score(data.y["test"][name] == value, model.decision_function(data.x["test"])))
    assert explicitness(data) == pytest.approx(np.mean(areas), abs=0.01)


def test_pictures_without_a_value_are_left_out() -> None:
    data = world("apart")
    for split in data.y:
        data.y[split]["f0"][::2] = -1
        data.x[split][::2, 0] = 99  # would ruin the factor, were they used
    importance, accuracy = forest_importance(data, "f0", seed=0)
    assert accuracy == pytest.approx(1, abs=0.02)
    assert importance.argmax() == 0


def test_what_cannot_be_measured_is_said() -> None:
    data = world("apart")
    data.x["val"][3, 1] = np.nan
    with pytest.raises(ValueError, match=r"val split .* not finite"):
        disentanglement(data)
    empty = world("apart")
    empty.y["test"]["f1"][:] = -1
    with pytest.raises(ValueError, match="'f1'"):
        disentanglement(empty)
