"""McNemar's test: against cases worked out by hand, and what it says of probes on the same images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from soda.evaluation.linear_probe import Features, linear_probe
from soda.evaluation.paired import against, mcnemar, paired_quantities, paired_table, right


def answers(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Right and wrong of two classifiers, by how many images both, one or none of them get right."""
    ours = np.repeat([True, True, False, False], [both, first, second, neither])
    theirs = np.repeat([True, False, True, False], [both, first, second, neither])
    return ours, theirs


def test_the_exact_p_of_cases_worked_out_by_hand() -> None:
    found = mcnemar(*answers(50, 8, 2, 40))
    # 2 (C(10, 0) + C(10, 1) + C(10, 2)) / 2^10 = 112 / 1024
    assert found.p == pytest.approx(0.109375) and found.difference == pytest.approx(0.06)
    assert (found.only_first, found.only_second) == (8, 2)
    assert mcnemar(*answers(0, 6, 0, 0)).p == pytest.approx(2 / 64)
    assert mcnemar(*answers(10, 5, 5, 0)).p == 1


def test_images_on_which_both_agree_say_nothing_and_order_only_turns_the_sign() -> None:
    few, many = (mcnemar(*answers(both, 30, 12, 7)) for both in (0, 5000))
    assert few.p == many.p < 0.01
    first, second = answers(20, 30, 12, 7)
    there, back = mcnemar(first, second), mcnemar(second, first)
    assert there.p == back.p and there.difference == -back.difference > 0
    assert mcnemar(first, first).p == 1


def test_near_the_chi_squared_of_edwards_where_many_differ() -> None:
    from scipy.stats import chi2

    found = mcnemar(*answers(0, 560, 480, 0))
    assert found.p == pytest.approx(chi2.sf((abs(560 - 480) - 1) ** 2 / (560 + 480), 1), rel=0.02)


def test_it_holds_its_level_where_both_are_equally_good() -> None:
    generator = np.random.default_rng(0)
    draws = generator.random((400, 2, 200)) < 0.8
    assert np.mean([mcnemar(*each).p < 0.05 for each in draws]) < 0.06


def test_what_does_not_go_together_is_refused() -> None:
    ours, theirs = answers(3, 2, 1, 1)
    with pytest.raises(ValueError, match=r"shapes \(7,\) and \(6,\)"):
        mcnemar(ours, theirs[1:])
    with pytest.raises(ValueError, match="int64"):
        mcnemar(ours.astype(np.int64), theirs)
    with pytest.raises(ValueError, match="same images"):
        mcnemar(ours[:0], theirs[:0])


def test_probes_on_the_same_images_are_compared() -> None:
    """Features that tell the label against noise: the first is surely better, a copy of itself is not."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 2
    x = torch.randn(300, 6, generator=generator)
    told = torch.cat([x[:, :5], (labels * 2 - 1)[:, None] + 0.5 * x[:, 5:]], dim=1)
    cut = (slice(0, 150), slice(150, 200), slice(200, 300))

    def probed(values: torch.Tensor) -> np.ndarray:
        return right(linear_probe(*(Features(values[each], labels[each]) for each in cut), classes=2, l2=(0.01,)))

    found = against(probed(told), {"noise": probed(x), "itself": probed(told)})
    assert found["noise"]["p"] < 1e-6 and found["noise"]["difference"] > 0.3
    assert found["itself"] == {"difference": 0.0, "p": 1.0}


def test_what_is_declared_is_what_is_shown() -> None:
    titles = {"pixels": "Raw pixels", "random": "Untrained encoder"}
    keys = {each.key for each in paired_quantities(titles)}
    assert {key for row in paired_table(titles).rows for key in row.cells} == keys
    assert keys == {f"paired.{name}.{what}" for name in titles for what in ("difference", "p")}
