"""Folders called train, val and test are the splits; a category may be called so, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from soda.common.split_folders import find_split_folders, kind_of
from soda.data.dataset import PreparedData
from soda.data.fetch import fetch
from soda.data.prepare import prepare
from soda.data.sources.labels import folder_labels
from tests.support.samples import MakeConfig, picture


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("train", "train"), ("Training", "train"), ("train2017", "train"), ("train_images", "train"), ("TEST", "test")),
        *(("val", "val"), ("valid", "val"), ("validation", "val"), ("test1", "test"), ("testing set", "test")),
        *(
            ("tests", "test"),
            ("hold-out", "test"),
            ("holdout_images", "test"),
            ("dev", "val"),
            ("eval", "val"),
            ("1_train", "train"),
        ),
        *(("images_train", "train"), ("train_dataset", "train"), ("trainset", "train"), ("Test-01", "test"), ("Heldout", "test")),
        *(
            ("trains", ""),
            ("contest", ""),
            ("values", ""),
            ("", ""),
            ("train_test", ""),
            ("crash test", ""),
            ("test kitchen", ""),
        ),
        *(("device", ""), ("dev tools", ""), ("evaluations", ""), ("2017", ""), ("images", "")),
    ],
)
def test_names_that_mean_a_split(name: str, kind: str) -> None:
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    ("paths", "splits"),
    [
        (["train/cat/1.png", "val/cat/2.png", "test/dog/3.png"], ["train", "val", "test"]),
        (["images/train/1.png", "images/test/2.png"], ["train", "test"]),
        (["cat/train/1.png", "cat/test/2.png", "dog/train/3.png"], ["train", "test", "train"]),
        (["Train/1.png", "VALID/2.png", "cover.png"], ["train", "val", ""]),
        (["bus/1.png", "car/2.png", "train/3.png"], None),  # a vehicle
        (["test/1.png", "good/2.png"], None),
        (["train/1.png", "test/2.png", "unlabeled/3.png", "unlabeled/4.png", "x/5.png"], ["train", "test", "", "", ""]),  # STL-10
        (
            ["train/1.png", "test/2.png", *(f"{each}/{n}.png" for each in "abcd" for n in range(2))],
            None,
        ),  # two of many categories
        (["val/1.png", "test/2.png", "cat/3.png", "dog/4.png"], ["val", "test", "", ""]),
        (["val/1.png", "test/2.png"], None),  # nothing to train on
        (["train/1.png", "val/2.png", "extra/test/3.png"], ["train", "val", "test"]),
        (["train/test/1.png", "test/train/2.png"], ["train", "test"]),  # the outermost says it
        (["a/train/1.png", "test/2.png"], None),  # not side by side
        (["train/1.png", "train/2.png"], None),
        (["train.png", "test.png"], None),
    ],
)
def test_what_counts_as_split_folders(paths: list[str], splits: list[str] | None) -> None:
    found = find_split_folders(paths)
    assert (None if found is None else [found.split(path) for path in paths]) == splits


def test_labels_are_what_is_left_of_the_path(tmp_path: Path, dataset_config: MakeConfig) -> None:
    config = dataset_config(path=str(tmp_path))
    for form in ("{split}/{label}/{n}.png", "{label}/{split}/{n}.png", "images/{split}/{label}/{n}.png"):
        names = {
            form.format(split=split, label=label, n=n): label
            for split in ("train", "test")
            for label in ("cat", "dog")
            for n in range(3)
        }
        assert folder_labels(config, tmp_path, list(names)) == names


def album(root: Path, *splits: str) -> Path:
    for number, split in enumerate(splits):
        for n in range(12):
            path = root / split / ("cat", "dog")[n % 2] / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(100 * number + n).save(path)
    return root


@pytest.mark.parametrize("splits", [("train", "val", "test"), ("train", "test"), ("Training", "valid")])
def test_a_folder_that_is_split_stays_so(tmp_path: Path, dataset_config: MakeConfig, splits: tuple[str, ...]) -> None:
    root = album(tmp_path / "pictures", *splits)
    config = dataset_config(path=str(root))
    fetch(config, tmp_path / "raw")
    prepare(config, tmp_path / "raw", tmp_path / "prepared")
    data = PreparedData(tmp_path / "prepared")
    assert data.label_names == ["cat", "dog"]
    for split in ("train", "val", "test"):
        part = data.split(split)
        assert len(part) >= 2
        assert {kind_of(file.split("/")[0]) for file in part.files} <= {split, "train"}
    for folder in splits[1:]:
        assert sum(file.startswith(folder) for file in data.split(kind_of(folder)).files) == 12


def test_a_folder_called_so_that_is_no_split_is_named(
    tmp_path: Path, dataset_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    root = album(tmp_path / "pictures", "test", "more", "most")
    fetch(dataset_config(path=str(root)), tmp_path / "raw")
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "'test'" in said and "not taken" in said


def test_one_may_have_them_drawn_anew(tmp_path: Path, dataset_config: MakeConfig) -> None:
    config = dataset_config(path=str(album(tmp_path / "pictures", "train", "test")), splits="content")
    fetch(config, tmp_path / "raw")
    prepare(config, tmp_path / "raw", tmp_path / "prepared")
    data = PreparedData(tmp_path / "prepared")
    assert {file.split("/")[0] for file in data.split("train").files} == {"train", "test"} and data.label_names == ["cat", "dog"]
