"""Linear probe and nearest neighbours: the right optimum, choices made on validation alone, and data that is awkward."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from soda.evaluation import knn
from soda.evaluation.knn import knn_probe, neighbours, vote
from soda.evaluation.linear_probe import Features, ci95, fit_logistic, linear_probe, standardise

L2 = (1e-4, 1e-2)


def clouds(count: int, *, classes: int = 3, dim: int = 6, noise: float = 1.0, seed: int = 0) -> Features:
    """One Gaussian cloud a class, its centre on an axis of its own; components differ in scale and are correlated."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % classes
    x = 3 * torch.eye(classes, dim)[y] + noise * torch.randn(count, dim, generator=generator)
    mix = torch.eye(dim) + 0.9 * torch.ones(dim, dim)
    return Features(x @ mix * torch.logspace(-2, 2, dim) + 5, y)


def objective(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, l2: float) -> float:
    return float(torch.nn.functional.cross_entropy(x @ weight.T + bias, y) + l2 / 2 * weight.square().sum())


@pytest.mark.parametrize("l2", [1e-3, 1e-1])
def test_reaches_the_optimum_that_sklearn_finds(l2: float) -> None:
    data = clouds(300, noise=2.0)
    (x,) = standardise(data.x)
    weight, bias = fit_logistic(x, data.y, 3, l2)
    reference = LogisticRegression(C=1 / (l2 * len(x)), tol=1e-8, max_iter=5000).fit(x.numpy(), data.y.numpy())
    expected = objective(x, data.y, torch.tensor(reference.coef_).float(), torch.tensor(reference.intercept_).float(), l2)
    assert objective(x, data.y, weight, bias, l2) == pytest.approx(expected, rel=1e-3)
    torch.testing.assert_close(weight, torch.tensor(reference.coef_).float(), atol=0.03, rtol=0.03)


def test_the_optimum_does_not_depend_on_the_start() -> None:
    data = clouds(300, noise=2.0)
    (x,) = standardise(data.x)
    cold = fit_logistic(x, data.y, 3, 1e-2)
    warm = fit_logistic(x, data.y, 3, 1e-2, start=(torch.ones(3, 6), torch.ones(3)))
    torch.testing.assert_close(cold[0], warm[0], atol=0.03, rtol=0.03)


def test_separable_classes_are_told_apart_and_random_labels_are_not() -> None:
    train, val, test = clouds(300, noise=0.2), clouds(60, noise=0.2, seed=1), clouds(300, noise=0.2, seed=2)
    assert linear_probe(train, val, test, classes=3, l2=L2).test_top1 == 1.0
    guess = Features(train.x, torch.randint(3, (300,), generator=torch.Generator().manual_seed(0)))
    assert linear_probe(guess, val, test, classes=3, l2=L2).test_top1 < 0.75


def test_runs_are_equal_bit_for_bit() -> None:
    sets = [clouds(200, noise=2.0, seed=k) for k in range(3)]
    first, second = (linear_probe(*sets, classes=3, l2=L2) for _ in range(2))
    assert torch.equal(first.predictions, second.predictions)
    assert first.val_top1 == second.val_top1


def test_the_choice_of_l2_does_not_look_at_test() -> None:
    train, val, test = (clouds(n, noise=3.0, seed=n) for n in (60, 50, 40))
    honest = linear_probe(train, val, test, classes=3, l2=(1e-6, 1e-1, 10.0))
    flipped = linear_probe(train, val, Features(test.x, (test.y + 1) % 3), classes=3, l2=(1e-6, 1e-1, 10.0))
    assert honest.l2 == flipped.l2
    assert torch.equal(honest.predictions, flipped.predictions)


def test_l2_is_the_one_that_validation_likes_best() -> None:
    generator = torch.Generator().manual_seed(0)

    def noisy(count: int) -> Features:  # one component tells, 60 are noise: only a strong L2 does not fit the noise
        y = torch.arange(count) % 2
        return Features(torch.cat([(y * 2.0 - 1)[:, None], torch.randn(count, 60, generator=generator)], 1), y)

    train, val, test = noisy(40), noisy(400), noisy(400)
    train.y[:8] = 1 - train.y[:8]
    scores = {l2: linear_probe(train, val, test, classes=2, l2=(l2,)).val_top1 or 0 for l2 in (1e-6, 1.0)}
    assert scores[1.0] != scores[1e-6]
    assert linear_probe(train, val, test, classes=2, l2=(1e-6, 1.0)).l2 == max(scores, key=scores.__getitem__)


def test_without_validation_labels_the_greatest_l2_and_smallest_k_serve() -> None:
    train, test = clouds(90), clouds(30, seed=1)
    val = Features(train.x[:5], torch.full((5,), -1))
    probe = linear_probe(train, val, test, classes=3, l2=L2)
    near = knn_probe(train, val, test, classes=3, k=(3, 7))
    assert (probe.l2, probe.val_top1, near.k, near.val_top1) == (max(L2), None, 3, None)


def test_unlabelled_pictures_are_left_out() -> None:
    train, val, test = clouds(90), clouds(30, seed=1), clouds(30, seed=2)
    more = Features(torch.cat([train.x, 1e3 * torch.ones(9, 6)]), torch.cat([train.y, torch.full((9,), -1)]))
    wider = Features(torch.cat([test.x, test.x]), torch.cat([test.y, torch.full((30,), -1)]))
    for run in (
        lambda a, c: linear_probe(a, val, c, classes=3, l2=L2).test_top1,
        lambda a, c: knn_probe(a, val, c, classes=3, k=(3,)).test_top1,
    ):
        assert run(more, wider) == run(train, test)


def test_a_label_with_one_member_and_one_that_train_lacks() -> None:
    train, val, test = clouds(91), clouds(30, seed=1), clouds(30, seed=2)
    train.y[0] = 3  # alone
    test.y[:6] = 4  # never seen
    probe = linear_probe(train, val, test, classes=5, l2=L2)
    near = knn_probe(train, val, test, classes=5, k=(3,))
    assert 4 not in probe.predictions
    assert probe.test_top1 <= 24 / 30
    assert near.test_top1 <= 24 / 30
    assert len(probe.targets) == 30


def test_one_label_is_no_task() -> None:
    train = clouds(20)
    alone = Features(train.x, torch.zeros(20, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"two labels in train.*got 1"):
        linear_probe(alone, alone, alone, classes=1, l2=L2)
    with pytest.raises(ValueError, match="0 in test"):
        knn_probe(train, train, Features(train.x, torch.full((20,), -1)), classes=3, k=(1,))


def test_constant_and_repeated_components_do_no_harm() -> None:
    def widen(data: Features) -> Features:
        return Features(torch.cat([data.x, data.x, torch.full((len(data.x), 2), 7.0)], 1), data.y)

    sets = [widen(clouds(n, noise=0.2, seed=n)) for n in (90, 30, 31)]
    assert linear_probe(*sets, classes=3, l2=(0.0, 1e-3)).test_top1 == 1.0
    assert standardise(sets[0].x)[0][:, -2:].abs().max() == 0


def test_fewer_pictures_than_correlated_features_do_no_harm() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(120) % 2
    scene = torch.randn(120, 4, generator=generator) + 3 * y[:, None]
    x = scene @ torch.randn(4, 1500, generator=generator) + 1e-3 * torch.randn(120, 1500, generator=generator)
    (x,) = standardise(x)
    result = linear_probe(Features(x, y), Features(x, y), Features(x, y), classes=2, l2=(1e-7, 1e-4))
    assert result.test_top1 > 0.9


def test_features_that_are_not_finite_are_refused() -> None:
    data = clouds(20)
    data.x[3, 2] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        linear_probe(data, data, data, classes=3, l2=L2)


def test_standardising_takes_its_statistics_from_train_alone() -> None:
    train = clouds(500).x
    first, other = standardise(train, train * 2)
    torch.testing.assert_close(first.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(first.std(0, correction=0), torch.ones(6), atol=1e-4, rtol=0)
    assert not torch.allclose(other.mean(0), torch.zeros(6), atol=0.1)


def test_interval_shrinks_with_the_root_of_the_count() -> None:
    assert ci95(0.5, 100) == pytest.approx(0.098)
    assert ci95(0.5, 400) == pytest.approx(ci95(0.5, 100) / 2)
    assert np.isnan(ci95(0.5, 0))


def test_nearest_neighbours_by_cosine_whatever_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    bank, queries = (clouds(n, noise=3.0, seed=n).x for n in (50, 23))
    whole = neighbours(queries, bank, 7)
    expected = torch.nn.functional.cosine_similarity(queries[:, None], bank[None], dim=2).sort(1, descending=True)
    torch.testing.assert_close(whole[1], expected.values[:, :7], atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(knn, "QUERIES", 4)
    assert torch.equal(neighbours(queries, bank, 7)[0], whole[0])
    assert torch.equal(neighbours(bank, 3 * bank, 1)[0][:, 0], torch.arange(50))  # length does not count


def test_more_neighbours_than_there_are_is_all_of_them() -> None:
    train = clouds(6)
    assert neighbours(train.x, train.x, 20)[0].shape == (6, 6)
    assert 0 <= knn_probe(train, train, train, classes=3, k=(5, 20)).test_top1 <= 1


def test_one_close_neighbour_outvotes_two_far_ones() -> None:
    labels = torch.tensor([[0, 1, 1]])
    assert vote(labels, torch.tensor([[0.9, 0.2, 0.2]]), 2).item() == 0
    assert vote(labels, torch.tensor([[0.9, 0.89, 0.89]]), 2).item() == 1


def test_k_is_chosen_on_validation() -> None:
    train = clouds(60, classes=2, noise=0.1)
    train.y[::10] = 1 - train.y[::10]  # one label in ten is wrong: a single neighbour believes it, nine do not
    val, test = clouds(60, classes=2, noise=0.1, seed=1), clouds(60, classes=2, noise=0.1, seed=2)
    believer, chosen = (knn_probe(train, val, test, classes=2, k=k) for k in ((1,), (1, 9)))
    assert chosen.k == 9
    assert chosen.test_top1 > believer.test_top1
