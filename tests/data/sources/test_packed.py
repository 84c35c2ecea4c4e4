"""Packed pictures, tars as WebDataset writes them and Parquet as Hugging Face does, are read where they lie."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from soda.data.dataset import PreparedData
from soda.data.fetch import fetch
from soda.data.pixels import ChangedError
from soda.data.prepare import PrepareError, prepare
from soda.data.sources import SourceError, get_source, parquet
from soda.data.sources.packed import split_of_file
from tests.support.samples import MakeConfig

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (24, 20, 20, 3), dtype=np.uint8)


def encoded(index: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(PICTURES[index]).save(file, kind)
    return file.getvalue()


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def samples(indices: range) -> dict[str, bytes]:
    found = {}
    for index in indices:
        found |= {
            f"a/{index:03d}.png": encoded(index),
            f"a/{index:03d}.cls": str(index % 3).encode(),
            f"a/{index:03d}.json": b"{}",
        }
    return found


def write_table(path: Path, indices: range, *, names: bool = True, column: str = "image", **more: list[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"bytes": encoded(index), "path": f"{index}.png"} for index in indices]
    table = pa.table({column: rows, "label": [index % 3 for index in indices], **more})
    label = {"names": ["cat", "dog", "eel"], "_type": "ClassLabel"}
    if names:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": {"label": label}}})})
    pq.write_table(table, path, row_group_size=5)


def make(tmp_path: Path, dataset_config: MakeConfig, name: str, **settings: object) -> PreparedData:
    asked = {"name": name, "path": str(tmp_path / "root"), "labels": "auto", "splits": "auto", "image_size": 20, "channels": 3}
    config = dataset_config(**{**asked, **settings})
    (tmp_path / "raw").mkdir(exist_ok=True)
    fetch(config, tmp_path / "raw")
    prepare(config, tmp_path / "raw", tmp_path / "prepared")
    return PreparedData(tmp_path / "prepared")


@pytest.mark.parametrize(
    ("name", "split"),
    [("train-00000-of-00008.parquet", "train"), ("data/validation-00000.parquet", "val"), ("val/0001.tar", "val"),
     ("test.tar", "test"),
     ("imagenet1k-validation-00.tar", "val"), ("cifar10-test.tar", "test"), ("mnist_test.parquet", "test"),
     ("cifar10/a_train.tar", "train"),
     ("0001.tar", ""), ("trainer-1.tar", ""), ("training_03.tar", "train"), ("train-test.tar", ""), ("contest.tar", "")],
)  # fmt: skip
def test_files_are_called_as_splits(name: str, split: str) -> None:
    assert split_of_file(name) == split


def test_tars_give_their_pictures_labels_and_splits(tmp_path: Path, dataset_config: MakeConfig) -> None:
    write_tar(tmp_path / "root/train/0000.tar", samples(range(9)))
    write_tar(tmp_path / "root/train/0001.tar", samples(range(9, 18)))
    write_tar(tmp_path / "root/test/0000.tar", {**samples(range(18, 24)), "a/readme.md": b"x", "a/.hidden.png": b"x"})
    data = make(tmp_path, dataset_config, "webdataset")
    test, train, val = (data.split(name) for name in ("test", "train", "val"))
    order = [int(each.rpartition("/")[2]) for each in test.ids.tolist()]
    assert sorted(order) == list(range(18, 24)) and len(train) + len(val) == 18 and len(val) > 0
    assert (test.gather(np.arange(6)) == PICTURES[order]).all()
    assert test.column("label").tolist() == [str(index % 3) for index in order]
    assert all(each.startswith("test/0000.tar:") for each in test.ids)


def test_tables_give_their_pictures_named_labels_and_splits(tmp_path: Path, dataset_config: MakeConfig) -> None:
    write_table(tmp_path / "root/data/train-00000-of-00002.parquet", range(8))
    write_table(tmp_path / "root/data/train-00001-of-00002.parquet", range(8, 16), names=False)
    write_table(tmp_path / "root/data/test-00000-of-00001.parquet", range(16, 24))
    data = make(tmp_path, dataset_config, "parquet")
    test = data.split("test")
    order = [16 + 5 * int(group) + int(row) for group, row in (each.rpartition(":")[2].split(".") for each in test.ids.tolist())]
    assert sorted(order) == list(range(16, 24))
    assert (test.gather(np.arange(8)) == PICTURES[order]).all()
    assert test.column("label").tolist() == [("cat", "dog", "eel")[index % 3] for index in order]
    assert set(data.label_names) == {"cat", "dog", "eel", "0", "1", "2"}  # the second file says no names


def test_what_other_programs_keep_is_passed_over_among_files_and_in_them(tmp_path: Path, dataset_config: MakeConfig) -> None:
    rubbish = {"@eaDir/0/SYNO_THUMB.jpg": encoded(20), "__MACOSX/a/1.png": encoded(21), "./.Trash/2.png": encoded(22)}
    write_tar(tmp_path / "elsewhere/0000.tar", {**samples(range(18)), **rubbish})
    for name in ("#recycle", "$RECYCLE.BIN/S-1-5", ".cache", "@eaDir"):
        write_tar(tmp_path / f"root/{name}/0001.tar", samples(range(3)))
    with pytest.raises(SourceError, match=r"there is no \*\.tar in it; passed over.*#recycle"):
        make(tmp_path, dataset_config, "webdataset")
    (tmp_path / "root/linked").symlink_to(tmp_path / "elsewhere")
    data = make(tmp_path, dataset_config, "webdataset")
    ids = [each for split in ("train", "val", "test") for each in data.split(split).ids]
    assert sorted(ids) == [f"linked/0000.tar:a/{index:03d}" for index in range(18)]


def test_where_all_files_are_called_test_the_splits_are_drawn(tmp_path: Path, dataset_config: MakeConfig) -> None:
    write_tar(tmp_path / "root/digits-test.tar", samples(range(24)))
    data = make(tmp_path, dataset_config, "webdataset")
    assert all(data.summary["splits"].values())


def test_one_file_of_bare_bytes_and_no_labels(tmp_path: Path, dataset_config: MakeConfig) -> None:
    (tmp_path / "root").mkdir()
    table = pa.table({"jpg": [encoded(index) for index in range(24)], "thumb": [b"x"] * 24})
    pq.write_table(table, tmp_path / "root/all.parquet")
    data = make(tmp_path, dataset_config, "parquet", path=str(tmp_path / "root/all.parquet"), labels="none")
    assert sum(data.summary["splits"].values()) == 24 and data.label_names == []
    assert all(data.summary["splits"].values())  # drawn by content, as of a folder


def test_what_is_no_picture_is_listed(tmp_path: Path, dataset_config: MakeConfig) -> None:
    write_tar(tmp_path / "root/0000.tar", {**samples(range(20)), "a/999.png": b"not a picture"})
    data = make(tmp_path, dataset_config, "webdataset", max_unreadable=0.2)
    assert data.summary["rejected"] == 1
    assert "0000.tar:a/999" in (tmp_path / "prepared/rejected.csv").read_text()


def test_files_that_cannot_be_read_are_named(tmp_path: Path, dataset_config: MakeConfig) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        make(tmp_path, dataset_config, "webdataset")
    (tmp_path / "root").mkdir()
    with pytest.raises(SourceError, match=r"there is no \*\.parquet"):
        make(tmp_path, dataset_config, "parquet")
    whole = tmp_path / "root/0000.tar"
    write_tar(whole, samples(range(12)), mode="w:gz")
    with pytest.raises(SourceError, match=r"0000\.tar.*compressed"):
        make(tmp_path, dataset_config, "webdataset")
    write_tar(whole, samples(range(12)))
    whole.write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(SourceError, match=r"0000\.tar"):
        make(tmp_path, dataset_config, "webdataset")
    (tmp_path / "root/a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SourceError, match=r"a\.parquet: no Parquet file"):
        make(tmp_path, dataset_config, "parquet")
    pq.write_table(pa.table({"left": [b"x"], "right": [b"x"]}), tmp_path / "root/a.parquet")
    with pytest.raises(SourceError, match="several"):
        make(tmp_path, dataset_config, "parquet")
    with pytest.raises(SourceError, match=r"dataset\.labels"):
        make(tmp_path, dataset_config, "parquet", labels="folders")


@pytest.mark.parametrize("name", ["webdataset", "parquet"])
def test_a_file_that_changed_since_the_fetch_stops_preparation(name: str, tmp_path: Path, dataset_config: MakeConfig) -> None:
    def write(indices: range) -> None:
        if name == "parquet":
            write_table(tmp_path / "root/a.parquet", indices)
        else:
            write_tar(tmp_path / "root/a.tar", samples(indices))

    write(range(12))
    config = dataset_config(name=name, path=str(tmp_path / "root"), labels="auto", splits="auto", image_size=20, workers=1)
    (tmp_path / "raw").mkdir()
    fetch(config, tmp_path / "raw")
    item = next(iter(get_source(name).opened(config, tmp_path / "raw").items()))
    write(range(12, 24))
    from soda.data.sources import parquet

    parquet._row_group.cache_clear()
    with pytest.raises(ChangedError, match="fetch again"):
        item.load(config)
    with pytest.raises(PrepareError, match="fetch again"):
        prepare(config, tmp_path / "raw", tmp_path / "prepared")


def test_a_member_of_a_tar_that_says_it_is_huge_is_not_read(tmp_path: Path, dataset_config: MakeConfig) -> None:
    write_tar(tmp_path / "root/0.tar", samples(range(4)))
    huge = tarfile.TarInfo("b/9.png")
    huge.size = 1 << 40  # more than the machine's memory, and than the file
    path = tmp_path / "root/1.tar"
    path.write_bytes(huge.tobuf() + bytes(1024))
    with pytest.raises(SourceError, match=r"1\.tar: b/9\.png says that it has 1,099,511,627,776 bytes, of at most 268,435,456"):
        make(tmp_path, dataset_config, "webdataset")


def test_a_sparse_member_of_a_tar_is_not_read(tmp_path: Path, dataset_config: MakeConfig) -> None:
    (tmp_path / "root").mkdir()
    hole = tmp_path / "9.png"
    with hole.open("wb") as file:
        file.truncate(200 << 20)
        file.seek(100 << 20)
        file.write(b"x")
    done = subprocess.run(["tar", "--sparse", "-cf", "root/0.tar", "9.png"], cwd=tmp_path, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this tar packs no sparse files: {done.stderr}")
    assert (tmp_path / "root/0.tar").stat().st_size < 1 << 20
    with pytest.raises(SourceError, match=r"0\.tar: 9\.png is stored as a sparse file"):
        make(tmp_path, dataset_config, "webdataset")


def test_what_a_parquet_file_unpacks_to_is_limited(
    tmp_path: Path, dataset_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(tmp_path / "root/0.parquet", range(6))
    monkeypatch.setattr(parquet, "MOST_OF_GROUP", 1000)
    with pytest.raises(SourceError, match=r"0\.parquet: its row group 0 unpacks to [\d,]+ bytes of image, of at most 1,000"):
        make(tmp_path, dataset_config, "parquet")
    monkeypatch.undo()
    monkeypatch.setattr(parquet, "LARGEST", 100)
    with pytest.raises(SourceError, match=r"0\.parquet: row group 0, row 0 has a picture of [\d,]+ bytes, of at most 100"):
        make(tmp_path, dataset_config, "parquet")
