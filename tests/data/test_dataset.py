"""Reading prepared data: the right pictures under the right names, or an error that names the file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from subprocess import run

import numpy as np
import pytest

from soda.data.dataset import DatasetError, PreparedData
from soda.data.fetch import fetch
from soda.data.prepare import prepare
from soda.runtime.preprocess import load_picture, to_square
from tests.support.samples import MakeConfig


@pytest.fixture
def prepared(tmp_path: Path, dataset_config: MakeConfig, album: Path) -> Path:
    config = dataset_config(path=str(album), val_fraction=0.3, test_fraction=0.3)
    fetch(config, tmp_path / "raw")
    prepare(config, tmp_path / "raw", tmp_path / "prepared")
    return tmp_path / "prepared"


def test_gather_returns_the_pictures_that_were_asked_for(prepared: Path, album: Path) -> None:
    split = PreparedData(prepared).split("train")
    wanted = np.array([len(split) - 1, 5, 0, 3, 3, len(split) // 2, 1])
    pictures = split.gather(wanted)
    assert pictures.dtype == np.uint8
    for index, pixels in zip(wanted, pictures, strict=True):
        assert (pixels == to_square(load_picture(album / split.files[index]), 8)).all()
    assert split.gather([]).shape == (0, 8, 8, 3)
    with pytest.raises(IndexError):
        split.gather([len(split)])


def test_batches_cover_a_split_once_and_in_order(prepared: Path) -> None:
    data = PreparedData(prepared)
    total = 0
    for name in ("train", "val", "test"):
        split = data.split(name)
        batches = list(split.batches(7))
        assert [len(batch) for batch in batches[:-1]] == [7] * (len(batches) - 1)
        assert (np.concatenate(batches) == split.gather(np.arange(len(split)))).all()
        total += len(split)
    assert total == data.summary["count"] == 60


def test_labels_are_indices_into_the_names(prepared: Path) -> None:
    data = PreparedData(prepared)
    assert data.label_names == ["cats", "dogs"]
    for name in ("train", "val", "test"):
        split = data.split(name)
        assert split.labels.dtype == np.int64
        assert [data.label_names[label] for label in split.labels] == [file.split("/")[0] for file in split.files]


def test_pictures_without_labels_have_label_minus_one(tmp_path: Path, dataset_config: MakeConfig, album: Path) -> None:
    config = dataset_config(path=str(album), labels="none")
    fetch(config, tmp_path / "raw")
    prepare(config, tmp_path / "raw", tmp_path / "prepared")
    data = PreparedData(tmp_path / "prepared")
    assert data.label_names == []
    assert set(data.split("train").labels) == {-1}


def test_an_empty_split_can_be_used(tmp_path: Path, dataset_config: MakeConfig, album: Path) -> None:
    config = dataset_config(path=str(album), splits="official", test_fraction=1e-9)
    fetch(config, tmp_path / "raw")
    prepare(config, tmp_path / "raw", tmp_path / "prepared")
    split = PreparedData(tmp_path / "prepared").split("test")
    assert len(split) == len(split.ids) == len(split.labels) == 0
    assert list(split.batches(4)) == []


def test_missing_and_damaged_files_are_named(prepared: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere/summary\.json: no such file"):
        PreparedData(prepared.parent / "nowhere")
    shard = prepared / "shards" / "00001.npy"
    whole = shard.read_bytes()
    data = PreparedData(prepared)
    for content in (whole[:-5], b"", b"nonsense" * 100):
        shard.write_bytes(content)
        with pytest.raises(DatasetError, match=r"shards/00001\.npy: "):
            data.shard(1)
    np.save(shard, np.zeros((16, 8, 8, 3), np.float32))
    with pytest.raises(DatasetError, match=r"00001\.npy: holds float32"):
        data.shard(1)
    shard.unlink()
    with pytest.raises(DatasetError, match=r"00001\.npy: no such file"):
        data.shard(1)
    with pytest.raises(DatasetError, match="no column 'yaw'"):
        data.column("yaw")
    with pytest.raises(ValueError, match="split: 'dev'"):
        data.split("dev")
    (prepared / "manifest.parquet").write_bytes(b"nonsense")
    with pytest.raises(DatasetError, match=r"manifest\.parquet: cannot be read"):
        data.split("train")
    (prepared / "summary.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"summary\.json: not the summary"):
        PreparedData(prepared)


def test_a_manifest_that_points_outside_its_shards_is_refused(prepared: Path) -> None:
    summary = json.loads((prepared / "summary.json").read_text())
    fewer = [*summary["shards"][:-1], {**summary["shards"][-1], "count": summary["shards"][-1]["count"] - 1}]
    for shards in (summary["shards"][:-1], fewer):
        (prepared / "summary.json").write_text(json.dumps({**summary, "shards": shards}))
        with pytest.raises(DatasetError, match=r"manifest\.parquet: it names pictures that are not in the shards"):
            for name in ("train", "val", "test"):
                PreparedData(prepared).split(name)


def test_shards_are_mapped_and_read_only(prepared: Path) -> None:
    shard = PreparedData(prepared).shard(0)
    assert isinstance(shard, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        shard[0] = 0


def test_reading_data_loads_no_torch() -> None:
    code = "import sys, soda.data.dataset, soda.data.prepare, soda.data.fetch; sys.exit('torch' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0
