"""Thumbnails, picks, maps and charts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from soda.viz.charts import confusion
from soda.viz.grids import spread_picks, thumbnail
from soda.viz.maps import can_be_coloured, plane

CPU = torch.device("cpu")


def test_every_label_is_seen_before_any_is_seen_twice() -> None:
    labels = np.array([0] * 50 + [1] * 3 + [2] * 2 + [-1])
    picks = spread_picks(labels, 8, seed=0)
    assert len(set(picks)) == 8
    assert set(labels[picks[:4]]) == {-1, 0, 1, 2}
    assert np.array_equal(picks, spread_picks(labels, 8, seed=0))
    assert sorted(spread_picks(labels, 100, seed=0)) == list(range(56))


def test_small_pictures_grow_by_whole_factors_and_large_ones_shrink() -> None:
    small, large = (np.random.default_rng(0).integers(0, 256, (s, s, 1), dtype=np.uint8) for s in (28, 300))
    grown = thumbnail(small, 128)
    assert grown.shape == (112, 112, 3)
    assert np.array_equal(grown[::4, ::4, :1], small)
    assert thumbnail(large, 128).shape == (128, 128, 3)


def test_confusions_are_counted_by_true_row_and_answered_column(tmp_path: Path) -> None:
    targets, answers = np.array([0, 0, 2, 2, 2]), np.array([0, 2, 2, 2, 0])
    count = confusion(targets, answers, ["a", "never", "c"], tmp_path / "c.png")
    assert count.tolist() == [[1, 1], [1, 2]]


@pytest.mark.parametrize("count", [1, 2, 3, 12, 40])
def test_the_plane_takes_any_number_of_latents(count: int) -> None:
    z = np.random.default_rng(0).standard_normal((count, 5)).astype(np.float32)
    points = plane(z, seed=0)
    assert points.shape == (count, 2)
    assert np.isfinite(points).all()
    assert np.isfinite(plane(np.ones_like(z), seed=0)).all()


def test_too_many_labels_are_not_coloured() -> None:
    assert can_be_coloured(np.array([-1, 0, 1]))
    assert not can_be_coloured(np.array([-1, -1]))
    assert not can_be_coloured(np.arange(21))
