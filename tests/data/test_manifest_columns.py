"""Columns as numbers, and where a split's pictures lie, say what the manifest says, in memory that grows with shards."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from soda.data import manifest_columns
from soda.data.dataset import DatasetError, PreparedData
from soda.data.stretches import Stretches
from tests.support.prepared_factory import make_prepared, read_manifest


def mixed(manifest: pd.DataFrame) -> pd.DataFrame:
    """Splits in turn, a column with gaps, one of numbers."""
    manifest["split"] = [("train", "train", "val", "test", "train")[i % 5] for i in range(len(manifest))]
    manifest["factor.hat"] = [("red", "", "blue", None)[i % 4] for i in range(len(manifest))]
    return manifest


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(manifest_columns, "PIECE", 7)
    return make_prepared(tmp_path, edit=mixed)


def test_a_split_reads_its_own_rows_of_every_kind_of_column(prepared: Path) -> None:
    data, manifest = PreparedData(prepared), read_manifest(prepared)
    for name in ("train", "val", "test"):
        split, here = data.split(name), manifest[manifest["split"] == name]
        assert split.ids.tolist() == here["id"].tolist() and split.column("mean").tolist() == here["mean"].tolist()
        assert [each.hex() for each in split.digests.tolist()] == here["sha256"].tolist()
        for column in ("label", "width", "factor.hat"):
            names, codes = split.codes(column)
            wanted = ["" if pd.isna(value) else str(value) for value in here[column]]
            assert names == sorted(names) and [names[code] for code in codes] == wanted
        shards = [np.load(path) for path in sorted((prepared / "shards").iterdir())]
        every = np.stack([shards[shard][row] for shard, row in zip(here["shard"], here["row"], strict=True)])
        assert (split.gather(np.arange(len(split))) == every).all() and (split.gather([-1]) == every[-1:]).all()
        with pytest.raises(IndexError):
            split.gather([len(split)])
    assert data.distinct("factor.hat") == ["", "blue", "red"]


def test_pictures_are_found_by_their_ids(prepared: Path) -> None:
    data, manifest = PreparedData(prepared), read_manifest(prepared)
    found = data.find({"p0013", "p0055", "nobody"})
    assert set(found) == {"p0013", "p0055"}
    for name, (split, position, pixels) in found.items():
        assert data.split(split).ids[position] == name
        assert pixels.hex() == manifest.set_index("id")["sha256"][name]


def test_digests_of_any_strings_are_equal_where_these_are() -> None:
    import pyarrow as pa

    short = manifest_columns.digests(pa.array(["a", "b", "a", None, ""]))
    assert short[0] == short[2] and short[3] == short[4] and len(set(short.tolist())) == 3
    odd = manifest_columns.digests(pa.array(["ab" * 32, "zz" * 32]))
    assert len(set(odd.tolist())) == 2


def test_stretches_go_on_over_pieces() -> None:
    rows = np.array([4, 5, 6, 7, 9, 10, 11])
    shards, offsets = np.array([0, 0, 1, 1, 1, 1, 1]), np.array([8, 9, 0, 1, 3, 4, 9])
    for cut in range(8):
        found = Stretches.of([(rows[:cut], shards[:cut], offsets[:cut]), (rows[cut:], shards[cut:], offsets[cut:])])
        assert [found.rows.tolist(), found.lengths.tolist()] == [[4, 6, 9, 11], [2, 2, 2, 1]]
        assert [each.tolist() for each in found.places(np.arange(7))] == [shards.tolist(), offsets.tolist()]
        assert found.within(5, 10).tolist() == [0, 1, 2, 4] and found.within(0, 100).tolist() == rows.tolist()


def test_a_missing_column_is_named(prepared: Path) -> None:
    with pytest.raises(DatasetError, match=r"manifest\.parquet: no column 'yaw'; there are id, "):
        PreparedData(prepared).split("val").codes("yaw")


def test_a_split_holds_memory_by_shards_and_not_by_images(tmp_path: Path) -> None:
    prepared = make_prepared(tmp_path, n=20_000, size=8, shard_size=1000)
    data = PreparedData(prepared)
    data.split("val")
    tracemalloc.start()
    split = data.split("train")
    held = tracemalloc.get_traced_memory()[0]
    labels = split.labels
    with_labels = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(split) == len(labels) == 12_000 and held < 30_000 and with_labels - held < 9 * len(split)
