"""Which images are looked at, and their features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from soda.data.dataset import PreparedData
from soda.evaluation.samples import draw_apart, draw_positions, draw_sample, pixels, shuffled
from tests.support.prepared_factory import make_prepared

CPU = torch.device("cpu")


def test_samples_of_a_split_are_seeded_and_keep_their_labels(tmp_path: Path) -> None:
    split = PreparedData(make_prepared(tmp_path, n=60)).split("train")
    sample = draw_sample(split, 20, seed=0)
    assert len(sample) == len(np.unique(sample.indices)) == 20
    assert np.array_equal(sample.indices, draw_sample(split, 20, seed=0).indices)
    assert np.array_equal(sample.labels, split.labels[sample.indices])
    assert len(draw_sample(split, 1000, seed=0)) == len(split)


@pytest.mark.parametrize("limit", [1, 7, 20, 100])
def test_positions_apart_are_none_of_those_drawn(tmp_path: Path, limit: int) -> None:
    sample = draw_sample(PreparedData(make_prepared(tmp_path, n=60)).split("train"), 31, seed=0)
    apart = draw_apart(sample, limit, seed=3)
    assert len(apart) == min(limit, 15)
    assert not set(apart.tolist()) & set(draw_positions(sample, len(apart), seed=3).tolist())


def test_large_pictures_are_averaged_before_their_pixels_are_probed(tmp_path: Path) -> None:
    split = PreparedData(make_prepared(tmp_path, n=10, size=64, channels=3)).split("train")
    sample = draw_sample(split, 100, seed=0)
    x = pixels(sample, batch_size=4).x
    assert x.shape == (len(split), 3 * 32 * 32)
    assert float(x.mean()) == pytest.approx(split.gather(sample.indices).mean() / 255, rel=1e-4)


def test_shuffling_leaves_nothing_in_its_place() -> None:
    for count in (2, 3, 10, 101):
        order = shuffled(count, seed=count)
        assert sorted(order) == list(range(count))
        assert (order != np.arange(count)).all()
