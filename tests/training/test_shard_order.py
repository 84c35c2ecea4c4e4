"""Shards read whole: each image once an epoch, few shards at a time, the same wherever one starts and in every process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from soda.common.errors import InputError
from soda.config import Config
from soda.data.dataset import PreparedData
from soda.data.pairs import find_partners
from soda.training.batches import Order, Reader
from soda.training.shard_order import ShardOrder
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config

LENGTHS = np.array([3, 10, 10, 10, 10, 10, 4])


def shard_of(images: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.cumsum(LENGTHS), images, side="right")


@pytest.mark.parametrize("buffer", [1, 7, 20, 57, 1000])
def test_an_epoch_shows_each_image_once_and_the_next_in_another_order(buffer: int) -> None:
    order = ShardOrder(LENGTHS, buffer, seed=0)
    first, second = order.indices(0, 57), order.indices(57, 57)
    assert sorted(first) == sorted(second) == list(range(57)) and (first != second).any()
    assert (first != ShardOrder(LENGTHS, buffer, seed=1).indices(0, 57)).any()


@pytest.mark.parametrize("buffer", [1, 7, 20])
def test_the_order_does_not_depend_on_where_one_starts(buffer: int) -> None:
    whole = ShardOrder(LENGTHS, buffer, seed=3).indices(0, 200)
    for start in (0, 19, 20, 56, 57, 113):
        assert np.array_equal(ShardOrder(LENGTHS, buffer, seed=3).indices(start, 60), whole[start : start + 60])
    assert np.array_equal(np.concatenate([ShardOrder(LENGTHS, buffer, seed=3).indices(s, 5) for s in range(0, 200, 5)]), whole)
    back = ShardOrder(LENGTHS, buffer, seed=3)
    assert np.array_equal(np.concatenate([back.indices(s, 50) for s in (150, 100, 50, 0)][::-1]), whole)


def test_a_window_is_of_few_shards_and_they_are_known_before() -> None:
    order, most = ShardOrder(LENGTHS, 20, seed=5), 0
    for start in (epoch * 57 + first for epoch in range(20) for first in (0, 20, 40)):
        length = 20 if start % 57 < 40 else 17
        said = order.shards_of(order.window_at(start)).tolist()
        assert set(shard_of(order.indices(start, length)).tolist()) == set(said)
        assert order.window_at(start + length - 1) == order.window_at(start) == order.window_at(start + length) - 1
        most = max(most, len(said))
    assert 3 <= most <= order.most_at_once == 5


def test_images_of_a_buffer_are_shuffled_among_each_other() -> None:
    """Of windows of 500 images the place of each is as likely as any other."""
    order = ShardOrder(np.full(10, 100), 500, seed=0)
    places = np.concatenate([np.argsort(order.indices(500 * window, 500)) for window in range(40)])
    corner = np.corrcoef(places, np.tile(np.arange(500), 40))[0, 1]
    assert abs(corner) < 0.05
    firsts = {int(shard) for window in range(60) for shard in order.shards_of(window)[:1]}
    assert firsts == set(range(10))


def test_another_process_draws_the_same() -> None:
    code = (
        "import numpy as np; from soda.training.shard_order import ShardOrder\n"
        f"print(ShardOrder(np.array({LENGTHS.tolist()}), 20, 7).indices(90, 40).tolist())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(ShardOrder(LENGTHS, 20, 7).indices(90, 40).tolist())


def reader(config: Config, data: PreparedData) -> Reader:
    split = data.split("train")
    return Reader(split, find_partners(data, split, config.views.pairs), config.train)


def test_without_a_buffer_the_order_is_one_permutation_of_all(tmp_path: Path) -> None:
    data = PreparedData(make_prepared(tmp_path, n=60, size=16))
    mine = reader(make_config("dataset.channels=1", "train.batch_size=8"), data)
    assert isinstance(mine.order, Order)
    wanted = np.random.default_rng(9000469282592126558).permutation(36)
    assert mine.order.indices(0, 36).tolist() == wanted.tolist()


def test_a_reader_that_goes_on_reads_what_it_would_have_read(tmp_path: Path) -> None:
    data = PreparedData(make_prepared(tmp_path, n=100, size=16, shard_size=10))
    config = make_config("dataset.channels=1", "train.batch_size=8", "train.shuffle_buffer=16")
    straight = [batch.target for batch in reader(config, data).stream(0, 20)]
    resumed = [batch.target for batch in reader(config, data).stream(11, 20)]
    assert all(a.equal(b) for a, b in zip(straight[11:], resumed, strict=True))
    every = data.split("train").gather(np.arange(60))
    shown = np.concatenate([((each.permute(0, 2, 3, 1).numpy() + 1) * 127.5).round().astype(np.uint8) for each in straight])
    assert sorted(image.tobytes() for image in shown[:60]) == sorted(image.tobytes() for image in every)


def test_pairs_of_different_pictures_and_empty_splits_are_refused(tmp_path: Path) -> None:
    data = PreparedData(make_prepared(tmp_path, n=60, size=16))
    pairs = ("views.pairs.by=column", "views.pairs.column=label")
    with pytest.raises(InputError, match=r"train\.shuffle_buffer: 16 is not possible with pairs of different pictures"):
        reader(make_config("dataset.channels=1", "train.shuffle_buffer=16", *pairs), data)
    with pytest.raises(InputError, match="the train split is empty"):
        ShardOrder(np.empty(0, np.int64), 4, seed=0)
