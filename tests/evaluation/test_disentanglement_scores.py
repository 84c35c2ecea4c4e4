"""The published scores against codes whose score is known: a factor a component, all turned together, noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score
from sklearn.svm import LinearSVC

from soda.common.errors import InputError
from soda.evaluation.baselines.total_correlation import total_correlation
from soda.evaluation.disentanglement.by_section import first_components
from soda.evaluation.disentanglement.dci import FactorData
from soda.evaluation.disentanglement.dci_boosted import boosted_dci
from soda.evaluation.disentanglement.dci_lasso import lasso_dci
from soda.evaluation.disentanglement.factor_vae_score import LEAST_SPREAD, factor_vae_score
from soda.evaluation.disentanglement.information import information_table
from soda.evaluation.disentanglement.mutual_information_gap import mutual_information_gap
from soda.evaluation.disentanglement.protocol import SCORES, averaged, score_once
from soda.evaluation.disentanglement.separated_attributes import component_accuracies, separated_attributes

SIZES = {"train": 600, "val": 150, "test": 300}
VALUES = (3, 2, 4)


def codes(kind: str, *, spread: float = 0.05, dim: int = 3, seed: int = 0) -> FactorData:
    """Factors of 3, 2 and 4 values: each in a component of its own ("apart"), mirrored so that all mix ("turned"), or "noise"."""
    generator = np.random.default_rng(seed)
    mirror = np.eye(dim) - 2 / dim
    x, y = {}, {}
    for split, count in SIZES.items():
        y[split] = {f"f{k}": generator.integers(0, number, count) for k, number in enumerate(VALUES)}
        z = spread * generator.standard_normal((count, dim))
        if kind == "noise":
            z = generator.standard_normal((count, dim))
        else:
            for k, (column, number) in enumerate(zip(y[split].values(), VALUES, strict=True)):
                z[:, k] += (column - (number - 1) / 2) / np.sqrt((number**2 - 1) / 12)
        x[split] = z @ mirror if kind == "turned" else z
    return FactorData(x, y)


def test_every_score_tells_a_factor_a_component_from_a_mixture_and_from_noise() -> None:
    apart, turned, noise = (score_once(codes(kind), seed=0) for kind in ("apart", "turned", "noise"))
    assert set(apart) == set(SCORES)
    for key in ("dci_d", "dci_c", "dci_i", "mig", "factorvae", "modularity"):
        assert apart[key] > 0.9, key
    for key in ("dci_d", "dci_c", "lasso_d", "lasso_c", "mig", "sap", "modularity"):
        assert turned[key] < apart[key] - 0.2, key
    assert turned["explicitness"] == pytest.approx(apart["explicitness"], abs=0.03)  # a linear reader does not mind the turn
    for key in ("dci_d", "mig", "sap"):
        assert noise[key] < 0.15, key
    assert noise["dci_i"] < 0.5 and noise["factorvae"] < 0.6
    assert score_once(codes("turned"), seed=0) == turned


def test_boosted_trees_on_histograms_weigh_components_as_the_exact_ones_do() -> None:
    for kind in ("apart", "turned"):
        data = codes(kind, spread=0.3)
        ours, theirs = boosted_dci(data, seed=0), boosted_dci(data, seed=0, exact=True)
        assert ours[:3] == pytest.approx(theirs[:3], abs=0.03), kind
        assert np.abs(ours[3] - theirs[3]).max() < 0.04
        assert ours[3].sum(0) == pytest.approx(np.ones(3))


def test_lasso_leaves_components_that_say_nothing_at_nought() -> None:
    d, c, _, importance = lasso_dci(codes("apart", dim=8))
    assert importance[3:].max() < 0.1 and importance.argmax(0).tolist() == [0, 1, 2] and d > 0.85 and c > 0.8


def test_gap_of_information_worked_out_by_hand() -> None:
    a, b = np.tile([0, 0, 1, 1], 50), np.tile([0, 1, 0, 1], 50)
    # Component 0 is a, component 1 is b, component 2 is a again: a has two that tell all, b has one.
    x = np.stack([a, b, a], axis=1).astype(float)
    assert mutual_information_gap(x, {"a": a, "b": b}) == pytest.approx((0 + 1) / 2)
    assert mutual_information_gap(x[:, :2], {"a": a, "b": b}) == pytest.approx(1)


def test_information_is_scikit_learns() -> None:
    data = codes("turned")
    x, y = data.x["train"], data.y["train"]
    binned = np.stack([np.digitize(c, np.histogram(c, 20)[1][:-1]) for c in x.T], axis=1)  # as disentanglement_lib cuts
    wanted = [[mutual_info_score(values, column) for values in y.values()] for column in binned.T]
    assert information_table(x, y) == pytest.approx(np.array(wanted), abs=1e-9)


@pytest.mark.parametrize("factor", ["f0", "f1", "f2"])
def test_separate_classifiers_are_those_of_linear_svc(factor: str) -> None:
    data = codes("turned", spread=0.5)
    data.y["train"]["f2"][:100] = 0  # values that are not alike in number
    x, y = data.x["train"], data.y["train"][factor]
    mean, spread = x.mean(0), x.std(0)
    wanted = [
        LinearSVC(C=0.01, class_weight="balanced", max_iter=20_000, tol=1e-6)
        .fit((x[:, [i]] - mean[i]) / spread[i], y)
        .score((data.x["test"][:, [i]] - mean[i]) / spread[i], data.y["test"][factor])
        for i in range(x.shape[1])
    ]
    assert component_accuracies(data, factor) == pytest.approx(np.array(wanted), abs=0.012)


def test_separated_attributes_of_two_values() -> None:
    data = codes("apart")
    only = FactorData(data.x, {split: {"f1": rows["f1"]} for split, rows in data.y.items()})
    assert separated_attributes(only) == pytest.approx(0.5, abs=0.08)  # one component is always right, the next by chance


def test_votes_go_to_the_component_that_holds_still() -> None:
    data = codes("apart")
    x, y = data.x["train"], data.y["train"]
    assert factor_vae_score(x, y, seed=0) == 1
    assert factor_vae_score(np.concatenate([x, np.full((len(x), 1), 7.0)], axis=1), y, seed=0) == 1  # a dead one has no vote
    chance = factor_vae_score(np.random.default_rng(1).standard_normal((20_000, 3)), _even(20_000), seed=0)
    assert chance == pytest.approx(1 / 3, abs=0.03)
    with pytest.raises(InputError, match="constant"):
        factor_vae_score(np.ones((50, 2)), _even(50), seed=0)


def test_components_that_hardly_ever_move_have_no_vote() -> None:
    """disentanglement_lib leaves out what deviates by less than .05: else one that is nought in nearly all images wins."""
    data = codes("apart")
    x, y = data.x["train"], data.y["train"]
    seldom = np.zeros((len(x), 1))
    seldom[:: len(x) // 4] = 0.5  # std of about .02
    assert 0 < seldom.std() < LEAST_SPREAD
    assert factor_vae_score(np.concatenate([x, seldom], axis=1), y, seed=0) == 1
    assert factor_vae_score(np.concatenate([x, 10 * seldom], axis=1), y, seed=0) < 0.9  # as large as others, it takes part
    assert factor_vae_score(x * 0.01 / x.std(0), y, seed=0) == 0, "none has a vote"


def test_of_components_that_do_not_vary_at_all_the_first_has_the_vote() -> None:
    """As in disentanglement_lib. Centred before, rounding would choose the second, which then stood for both factors."""
    half = np.arange(2000) < 1000
    sign = np.where(np.arange(2000) % 2, 1.0, -1.0)
    first = np.where(half, 0.0, 0.3 + np.random.default_rng(0).standard_normal(2000))
    x = np.stack([first, np.where(half, 0.0, sign)], axis=1)
    y = {"f0": np.where(half, 0, -1), "f1": np.where(half, -1, sign > 0)}
    assert factor_vae_score(x, y, seed=0) == 1


def _even(count: int) -> dict[str, np.ndarray]:
    return {f"f{k}": np.random.default_rng(k).integers(0, 3, count) for k in range(3)}


def test_points_without_a_value_count_nowhere() -> None:
    data = codes("apart")
    whole = score_once(data, seed=0)
    for split in data.y:
        data.y[split]["f0"][::3] = -1
        data.x[split][::3, 0] = 5.0  # would ruin the factor, were they used
    part = score_once(data, seed=0)
    for key in ("dci_d", "dci_i", "sap"):
        assert part[key] == pytest.approx(whole[key], abs=0.08), key


def test_a_section_is_its_first_component() -> None:
    generator = np.random.default_rng(0)
    hidden = {split: generator.standard_normal((200, 2)) for split in SIZES}
    lines = np.array([[3.0, 0.0, 4.0], [0.0, 2.0, 0.0]])  # of each section, how its three components follow what is hidden
    x = {split: np.concatenate([h[:, :1] * lines[0], h[:, 1:] * lines[1]], axis=1) for split, h in hidden.items()}
    found = first_components(x, 2)
    for split, h in hidden.items():
        correlation = [abs(np.corrcoef(found[split][:, k], h[:, k])[0, 1]) for k in range(2)]
        assert correlation == pytest.approx([1, 1])
    assert found["train"][:, 0].std() == pytest.approx(5 * hidden["train"][:, 0].std())
    with pytest.raises(InputError, match="4 equal sections"):
        first_components(x, 4)


def test_what_cannot_be_scored_is_said() -> None:
    data = codes("apart")
    data.x["val"][3, 1] = np.inf
    with pytest.raises(InputError, match=r"val split .* not finite"):
        score_once(data, seed=0)
    alone = FactorData(codes("apart").x, {split: {"f0": rows["f0"]} for split, rows in codes("apart").y.items()})
    with pytest.raises(InputError, match="two known factors, not 1"):
        score_once(alone, seed=0)


def test_means_and_deviations_over_seeds() -> None:
    found = averaged([{"mig": 0.2}, {"mig": 0.4}])
    assert found == {"mig": pytest.approx(0.3), "mig_sd": pytest.approx(0.1414, abs=1e-4), "seeds": 2}


def test_total_correlation_tells_copies_from_independent_components() -> None:
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(512, 2, generator=generator)
    log_variance = torch.full((512, 2), -3.0)
    noise = (0.5 * log_variance).exp() * torch.randn(512, 2, generator=generator)
    copies = mean[:, :1].expand(-1, 2)
    apart = total_correlation(mean + noise, mean, log_variance, 512)
    alike = total_correlation(copies + noise, copies, log_variance, 512)
    # Two Gaussians of variance 1 + e^-3 and correlation 1 / (1 + e^-3): -log(1 - r^2) / 2 nats.
    r = 1 / (1 + np.exp(-3))
    assert float(alike - apart) == pytest.approx(-0.5 * np.log(1 - r**2), abs=0.25)
