"""Splits by content: copies and near copies of a picture are never torn, and few pictures fill every split."""

from __future__ import annotations

import io
import tracemalloc
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from soda.data.dataset import PreparedData
from soda.data.fetch import fetch
from soda.data.near_copies import Neighbourhood, distances, near_groups, thumbnails
from soda.data.prepare import prepare
from soda.data.splitting import LEAST, split_by_content
from soda.runtime.preprocess import to_square
from tests.support.samples import MakeConfig


def scene(seed: int, side: int = 96) -> Image.Image:
    """A picture of large shapes in a few colours, other ones for every seed."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)


def again(image: Image.Image, how: str) -> Image.Image:
    """A near copy."""
    if how == "jpeg":
        file = io.BytesIO()
        image.save(file, "JPEG", quality=60)
        return Image.open(file).convert("RGB")
    if how == "smaller":
        return image.resize((image.width // 2, image.height // 2))
    changed = image.copy()
    changed.putpixel((image.width // 3, image.height // 3), (255, 0, 255))
    return changed


def pixels(*images: Image.Image) -> np.ndarray:
    return np.stack([to_square(image, 32) for image in images])


@pytest.mark.parametrize("how", ["jpeg", "smaller", "pixel"])
def test_a_near_copy_is_found_and_another_picture_is_not(how: str) -> None:
    originals = [scene(seed) for seed in range(40)]
    thumbs = thumbnails(pixels(*originals, *(again(image, how) for image in originals)))
    groups = near_groups(thumbs, [str(number) for number in range(80)])
    assert (groups[:40] == groups[40:]).all()
    assert len(set(groups.tolist())) == 40


def test_equal_contents_are_one_group_whatever_they_look_like() -> None:
    thumbs = thumbnails(pixels(*(scene(seed) for seed in range(6))))
    groups = near_groups(thumbs, ["a", "b", "a", "c", "b", "d"])
    assert groups[0] == groups[2] and groups[1] == groups[4] and len(set(groups.tolist())) == 4


def test_a_film_is_not_one_picture() -> None:
    """Each frame is a near copy of the next, so that all hang together; they may yet go to several splits."""
    first, last = (np.asarray(scene(seed), np.float32) for seed in (1, 2))
    frames = [Image.fromarray((first + (last - first) * step / 99).astype(np.uint8)) for step in range(100)]
    groups = near_groups(thumbnails(pixels(*frames)), [str(number) for number in range(100)])
    assert np.bincount(groups).max() <= 10


def test_what_is_held_to_compare_grows_by_some_hundred_bytes_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coordinates and groups; of the 64 candidates that each picture has only a block's are there at once."""
    monkeypatch.setattr("soda.data.near_copies._BLOCK", 1 << 18)

    def peak(count: int) -> int:
        generator = np.random.default_rng(0)
        thumbs = generator.integers(0, 256, (count, 64), dtype=np.uint8)
        contents = np.frombuffer(generator.bytes(32 * count), "S32")
        tracemalloc.start()
        near_groups(thumbs, contents)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(300)  # what is imported on the way
    assert peak(2500) - peak(1000) < 600 * 1500


def test_thumbnails_are_means_of_blocks_for_any_size() -> None:
    rng = np.random.default_rng(0)
    for size in (8, 16, 24, 40):
        batch = rng.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
        side = min(size, 16)
        found = thumbnails(batch).reshape(2, side, side, 3)
        assert found[0, 0, 0] == pytest.approx(batch[0, : size // side, : size // side].mean((0, 1)), abs=0.51)
        assert found.mean() == pytest.approx(batch.mean(), abs=1.5)


def test_distance_is_of_structure_and_not_of_brightness() -> None:
    one = thumbnails(pixels(scene(1)))
    brighter = np.clip(one * 0.5 + 100, 0, 255).astype(np.uint8)
    assert distances(one, brighter)[0] < 0.05
    assert distances(one, 255 - one)[0] == pytest.approx(2, abs=0.01)


def test_pairs_leave_a_picture_itself_out() -> None:
    near = Neighbourhood(thumbnails(pixels(*(scene(seed) for seed in range(5)))))
    rows = np.arange(5)
    assert len(near.pairs(rows, rows, 0.05)[0]) == 0
    assert (near.nearest(rows, rows, 4) != rows[:, None]).all()


def test_a_picture_stays_in_its_split_when_others_come(dataset_config: MakeConfig) -> None:
    config = dataset_config(val_fraction=0.1, test_fraction=0.1)
    contents = [f"{number:064x}" for number in range(2000)]
    few = split_by_content(config, contents[:1000], np.arange(1000), [""] * 1000, [""] * 1000)
    many = split_by_content(config, contents, np.arange(2000), [""] * 2000, [""] * 2000)
    assert (few == many[:1000]).all()
    assert Counter(many.tolist())["test"] == pytest.approx(200, abs=40)


def test_a_crowd_of_near_copies_makes_up_no_held_out_split(dataset_config: MakeConfig) -> None:
    """Of 300 unlike pictures and 100 of one thing: figures on the latter alone would be said of all."""
    config = dataset_config(val_fraction=0.1, test_fraction=0.1)
    groups = np.append(np.arange(300), np.full(100, 300))
    for seed in range(20):
        splits = split_by_content(config, [f"{seed}-{number}" for number in range(400)], groups, [""] * 400, [""] * 400)
        assert set(splits[300:]) == {"train"} and all(Counter(splits.tolist())[name] > 15 for name in LEAST)


def test_where_all_pictures_are_of_crowds_these_are_held_out(dataset_config: MakeConfig) -> None:
    config = dataset_config(val_fraction=0.1, test_fraction=0.1)
    for seed in range(20):  # bursts of five
        splits = split_by_content(config, [f"{seed}-{n}" for n in range(60)], np.arange(60) // 5, [""] * 60, [""] * 60)
        assert set(splits) == {"train", "val", "test"} and all(len(set(burst)) == 1 for burst in splits.reshape(12, 5))


def test_of_few_pictures_every_split_has_some_and_train_every_label(dataset_config: MakeConfig) -> None:
    config = dataset_config(val_fraction=0.1, test_fraction=0.1)
    for seed in range(20):
        contents = [f"{seed}-{number}" for number in range(16)]
        labels = ["rare"] * 2 + ["common"] * 14
        splits = split_by_content(config, contents, np.arange(16), [""] * 16, labels)
        counts = Counter(splits.tolist())
        assert all(counts[name] >= least for name, least in LEAST.items())
        assert counts["train"] >= 8
        assert {label for label, split in zip(labels, splits, strict=True) if split == "train"} == {"rare", "common"}


def test_what_folders_say_is_kept_and_the_rest_is_drawn(dataset_config: MakeConfig) -> None:
    config = dataset_config(val_fraction=0.2, test_fraction=0.2)
    official = ["train"] * 80 + ["val"] * 20
    splits = split_by_content(config, [f"{n}" for n in range(100)], np.arange(100), official, [""] * 100)
    assert set(splits[80:]) == {"val"} and set(splits[:80]) == {"train", "test"}
    official = ["train"] * 60 + ["test"] * 30 + [""] * 10
    splits = split_by_content(config, [f"{n}" for n in range(100)], np.arange(100), official, [""] * 100)
    assert set(splits[60:90]) == {"test"} and set(splits[:60]) == {"train", "val"} and "test" not in splits[90:]


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """60 scenes; each has a copy, or a near copy, in another folder under another name; and blank pictures."""
    root = tmp_path / "messy"
    for folder in ("camera", "export"):
        (root / folder).mkdir(parents=True)
    for seed in range(60):
        image = scene(seed)
        image.save(root / "camera" / f"{seed}.png")
        other = image if seed % 4 == 0 else again(image, ("jpeg", "smaller", "pixel")[seed % 4 - 1])
        other.save(root / "export" / f"copy of {seed}.png")
    for colour in ("white", "black", "red"):
        Image.new("RGB", (50, 50), colour).save(root / f"{colour}.png")
    return root


def test_no_copy_is_torn_and_blank_pictures_are_listed(tmp_path: Path, dataset_config: MakeConfig, messy: Path) -> None:
    config = dataset_config(path=str(messy), image_size=32, min_std=0.005, val_fraction=0.1, test_fraction=0.1)
    fetch(config, tmp_path / "raw")
    prepare(config, tmp_path / "raw", tmp_path / "prepared")
    rows = pq.read_table(tmp_path / "prepared" / "manifest.parquet", columns=["file", "split"]).to_pylist()
    splits: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        splits[Path(row["file"]).stem.removeprefix("copy of ")].add(row["split"])
    assert len(rows) == 120 and all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {"train", "val", "test"}
    data = PreparedData(tmp_path / "prepared")
    assert (data.summary["blank"], data.summary["rejected"]) == (3, 0)
    listed = (tmp_path / "prepared" / "rejected.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in listed[1:]] == ["black.png", "red.png", "white.png"]
    assert all("blank: grey levels deviate by 0.00000" in line for line in listed[1:])
    assert not (tmp_path / "prepared" / "waiting").exists()
    for split in ("train", "val", "test"):
        part = data.split(split)
        for file, image in zip(part.files, part.gather(np.arange(len(part))), strict=True):
            assert (image == to_square(Image.open(messy / file).convert("RGB"), 32)).all()
