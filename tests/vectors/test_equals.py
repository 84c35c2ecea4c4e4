"""Crowds of equal and nearly equal rows, and what an index makes of a table with them."""

from __future__ import annotations

import numpy as np
import pytest

from soda.vectors.equals import Equals
from soda.vectors.index import duplicate_groups, neighbours_within


def unit(z: np.ndarray) -> np.ndarray:
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)


def test_groups_hold_equal_rows_and_lists_of_groups_their_rows() -> None:
    rng = np.random.default_rng(0)
    kinds = unit(rng.normal(size=(30, 8)))
    rows = rng.integers(0, 30, 400)
    found = Equals.of(kinds[rows])
    _, first = np.unique(rows, return_index=True)
    assert found.first.tolist() == sorted(first)
    assert (rows[found.first][found.group] == rows).all()
    lists = found.members_of(np.array([[0, 1, 2], [5, 0, 1]]), 9)
    for groups, members in zip(([0, 1, 2], [5, 0, 1]), lists, strict=True):
        wanted = [row for group in groups for row in np.flatnonzero(found.group == group)]
        assert members.tolist() == wanted[:9]
    zeros = np.zeros((3, 8), np.float32)
    zeros[1] = -0.0
    assert len(Equals.of(zeros).first) == 1


@pytest.mark.parametrize("spread", [0.0, 1e-7, 1e-5])
def test_a_crowd_hides_neither_copies_nor_outliers(spread: float) -> None:
    """Two placeholders 400 times each, as a table of a shop has them, before 700 others and copies of 200 of these."""
    pytest.importorskip("usearch")
    rng = np.random.default_rng(0)
    crowd = np.repeat(unit(rng.normal(size=(2, 32))), 400, axis=0)
    others = unit(rng.normal(size=(700, 32)))
    z = np.concatenate([crowd, others, others[:200]])
    z = unit(z + spread * rng.normal(size=z.shape))
    groups = duplicate_groups(z, 0.999, "approximate")
    assert groups == duplicate_groups(z, 0.999, "exact")
    assert [len(group) for group in groups[:2]] == [400, 400] and len(groups) == 202
    exact, found = (neighbours_within(z, 5, method) for method in ("exact", "approximate"))
    assert (np.abs(exact[1] - found[1]) < 1e-5).mean() > 0.97
    farthest = [set(np.argsort(cosines.mean(1), kind="stable")[:48].tolist()) for _, cosines in (exact, found)]
    assert len(farthest[0] & farthest[1]) >= 46


def test_fewer_kinds_than_neighbours() -> None:
    pytest.importorskip("usearch")
    z = np.repeat(unit(np.random.default_rng(0).normal(size=(3, 8))), 20, axis=0)
    indices, cosines = neighbours_within(z, 25, "approximate")
    assert indices.shape == (60, 25) and (indices != np.arange(60)[:, None]).all()
    np.testing.assert_allclose(cosines, neighbours_within(z, 25, "exact")[1], atol=1e-6)
