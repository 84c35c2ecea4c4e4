"""Preparation: same bytes every time, bounded memory, bad pictures listed, earlier results safe."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import re
import signal
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from soda.config import DatasetConfig
from soda.data import prepare as prepare_module
from soda.data.dataset import PreparedData
from soda.data.fetch import fetch
from soda.data.parallel import ordered_map
from soda.data.pixels import PixelsInFile, statistics
from soda.data.prepare import PrepareError, prepare, split_of
from soda.data.sources import Item, Opened
from soda.data.unfinished import process_once
from soda.runtime.preprocess import load_picture, to_square
from tests.support.samples import IdxSet, MakeConfig, bomb_png, picture, snapshot


def rejected(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def run(config: DatasetConfig, root: Path, name: str = "prepared") -> Path:
    fetch(config, root / "raw")
    prepare(config, root / "raw", root / name)
    return root / name


def test_every_row_describes_its_picture(tmp_path: Path, dataset_config: MakeConfig, album: Path) -> None:
    prepared = run(dataset_config(path=str(album)), tmp_path)
    table = pq.read_table(prepared / "manifest.parquet").to_pylist()
    shards = [np.load(path) for path in sorted((prepared / "shards").iterdir())]
    assert [len(shard) for shard in shards] == [16, 16, 16, 12]
    assert [(row["shard"], row["row"]) for row in table] == [(i // 16, i % 16) for i in range(60)]
    for row in table:
        pixels = shards[row["shard"]][row["row"]]
        assert (pixels == to_square(load_picture(album / row["file"]), 8)).all()
        assert row["sha256"] == hashlib.sha256(pixels.tobytes()).hexdigest()
        assert (row["width"], row["height"], row["mode"]) == (12, 10, "RGB")
        assert row["mean"] == pytest.approx(pixels.mean() / 255)
        assert row["std"] == pytest.approx(pixels.std() / 255)
        assert row["label"] == row["file"].split("/")[0]
        assert row["id"] == row["file"]


def test_the_summary_agrees_with_the_files(tmp_path: Path, dataset_config: MakeConfig, album: Path) -> None:
    (album / "cats" / "broken.png").write_bytes(b"broken")
    prepared = run(dataset_config(path=str(album)), tmp_path)
    summary = json.loads((prepared / "summary.json").read_text())
    table = pq.read_table(prepared / "manifest.parquet")
    splits = table["split"].to_pylist()
    assert summary["count"] == len(splits) == sum(summary["splits"].values()) == 60
    assert summary["splits"] == {name: splits.count(name) for name in ("train", "val", "test")}
    assert summary["labels"] == ["cats", "dogs"]
    assert summary["rejected"] == 1
    assert summary["manifest_sha256"] == hashlib.sha256((prepared / "manifest.parquet").read_bytes()).hexdigest()
    for entry in summary["shards"]:
        assert entry["sha256"] == hashlib.sha256((prepared / entry["file"]).read_bytes()).hexdigest()
        assert entry["count"] == len(np.load(prepared / entry["file"]))
    assert pq.ParquetFile(prepared / "manifest.parquet").num_row_groups == len(summary["shards"])


def test_workers_do_not_change_a_byte(
    tmp_path: Path, dataset_config: MakeConfig, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (album / "cats" / "broken.png").write_bytes(b"broken")
    fetch(dataset_config(path=str(album)), tmp_path / "raw")
    monkeypatch.setattr(prepare_module, "_CHUNK", 7)
    for workers in (1, 2):
        prepare(dataset_config(path=str(album), workers=workers), tmp_path / "raw", tmp_path / f"by {workers}")
    assert snapshot(tmp_path / "by 1") == snapshot(tmp_path / "by 2")


def test_official_splits_are_kept_and_val_is_drawn_from_train(
    tmp_path: Path, dataset_config: MakeConfig, idx_set: IdxSet
) -> None:
    config = dataset_config(name="fashion_mnist", path=str(idx_set.sums), labels="official", channels=1, image_size=28)
    prepared = run(config, tmp_path)
    data = PreparedData(prepared)
    assert (data.split("test").gather(np.arange(10))[..., 0] == idx_set.images["t10k"]).all()
    assert data.summary["splits"]["train"] + data.summary["splits"]["val"] == 40
    assert 0 < data.summary["splits"]["val"] < 20
    assert all(file.startswith("train-") for name in ("train", "val") for file in data.split(name).files)


def test_splits_follow_the_id_alone(dataset_config: MakeConfig) -> None:
    config = dataset_config(val_fraction=0.1, test_fraction=0.2)

    def of(number: int, split: str | None = None, seed: int = 0) -> str:
        return split_of(split, f"picture {number}", dataset_config(val_fraction=0.1, test_fraction=0.2, seed=seed))

    splits = [of(number) for number in range(5000)]
    assert splits == [of(number) for number in range(5000)]
    assert splits.count("test") / 5000 == pytest.approx(config.test_fraction, abs=0.02)
    assert splits.count("val") / 5000 == pytest.approx(config.val_fraction, abs=0.02)
    assert splits != [of(number, seed=1) for number in range(5000)]
    assert {of(number, "test") for number in range(100)} == {"test"}
    assert {of(number, "train") for number in range(100)} == {"train", "val"}


def test_bad_pictures_are_left_out_and_listed_with_the_reason(tmp_path: Path, dataset_config: MakeConfig, album: Path) -> None:
    cats = album / "cats"
    (cats / "text.png").write_text("not a picture")
    whole = (cats / "größe 1.jpg").read_bytes()
    (cats / "cut.jpg").write_bytes(whole[:-40])
    Image.new("RGB", (1, 1)).save(cats / "dot.png")
    (cats / "bomb.png").write_bytes(bomb_png(20_000, 20_000))
    (cats / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    prepared = run(dataset_config(path=str(album)), tmp_path)
    reasons = rejected(prepared / "rejected.csv")
    assert PreparedData(prepared).summary["count"] == 60
    assert set(reasons) == {f"cats/{name}" for name in ("text.png", "cut.jpg", "dot.png", "bomb.png", "phone.heic")}
    assert "not a picture of a format" in reasons["cats/text.png"]
    assert "truncated" in reasons["cats/cut.jpg"]
    assert reasons["cats/dot.png"] == "1 x 1 px is less than the limit of 2 px a side"
    assert "20000 x 20000 px is more than the limit of 1,000,000 pixels" in reasons["cats/bomb.png"]


def test_animations_and_pages_give_their_first_and_are_counted(tmp_path: Path, dataset_config: MakeConfig, album: Path) -> None:
    frames = [picture(number).convert("RGB") for number in (200, 201, 202)]
    for name in ("moving.gif", "moving.webp", "pages.tif"):
        frames[0].save(album / name, save_all=True, append_images=frames[1:])
    prepared = run(dataset_config(path=str(album)), tmp_path)
    said = PreparedData(prepared).summary["several_frames"]
    assert said["count"] == 3 and sorted(said["first"]) == ["moving.gif", "moving.webp", "pages.tif"]


@pytest.mark.parametrize("share", [0.05, 1.0])
def test_too_many_bad_pictures_stop_and_keep_list_and_earlier_result(
    tmp_path: Path, dataset_config: MakeConfig, album: Path, share: float
) -> None:
    prepared = run(dataset_config(path=str(album)), tmp_path)
    before = snapshot(prepared)
    for index, path in enumerate(sorted(path for path in album.rglob("größe*") if not path.name.startswith("."))):
        if index < 60 * (1 if share == 1.0 else 0.1):
            path.write_bytes(b"broken")
    config = dataset_config(path=str(album), max_unreadable=share)
    fetch(config, tmp_path / "raw")
    with pytest.raises(PrepareError) as caught:
        prepare(config, tmp_path / "raw", prepared)
    message = str(caught.value)
    assert message.startswith("60 of 60 pictures (100.0%)" if share == 1.0 else "6 of 60 pictures (10.0%)")
    assert ("nothing is left" if share == 1.0 else "more than the 5.0% of dataset.max_unreadable") in message
    assert "cats/größe" in message
    listed = rejected(tmp_path / "prepared.rejected.csv")
    assert str(tmp_path / "prepared.rejected.csv") in message
    assert len(listed) == (60 if share == 1.0 else 6)
    assert snapshot(prepared) == before
    assert not list(tmp_path.glob(".prepared*"))
    prepare(dataset_config(path=str(album), max_unreadable=0.5), tmp_path / "raw", prepared) if share < 1 else None
    assert (tmp_path / "prepared.rejected.csv").exists() == (share == 1.0)


@pytest.mark.parametrize("change", ["bytes", "gone"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_changed_since_fetch_stops_preparation(
    tmp_path: Path, dataset_config: MakeConfig, album: Path, change: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_module, "_CHUNK", 32)
    config = dataset_config(path=str(album), workers=workers)
    fetch(config, tmp_path / "raw")
    path = album / "cats" / "größe 1.jpg"
    if change == "bytes":
        picture(77).save(path)
    else:
        path.unlink()
    with pytest.raises(PrepareError, match=r"größe 1\.jpg: .*fetch again"):
        prepare(config, tmp_path / "raw", tmp_path / "prepared")
    assert not (tmp_path / "prepared").exists()


def test_duplicates_keep_and_drop(tmp_path: Path, dataset_config: MakeConfig, album: Path) -> None:
    for index in range(0, 60, 3):
        picture(index).save(album / "cats" / f"copy of {index}.bmp")
    keep = PreparedData(run(dataset_config(path=str(album)), tmp_path))
    assert keep.summary["count"] == 80
    assert keep.summary["duplicates_dropped"] == 0
    drop = PreparedData(run(dataset_config(path=str(album), duplicates="drop"), tmp_path, "dropped"))
    assert drop.summary["count"] == len(set(drop.column("sha256"))) == 60
    assert drop.summary["duplicates_dropped"] == 20
    priority = {"test": 0, "val": 1, "train": 2}
    every = dict(zip(keep.column("id"), keep.column("split"), strict=True))
    for file, reason in rejected(drop.folder / "rejected.csv").items():
        kept = reason.removeprefix("duplicate of ")
        assert priority[every[kept]] <= priority[every[file]]
        assert kept in drop.column("id")


def test_an_official_test_split_stays_whole_when_duplicates_are_dropped(
    tmp_path: Path, dataset_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [Item("test a", "", Plain(1), split="test"), Item("test b", "", Plain(1), split="test")]
    items += [Item(f"train {i}", f"t{i}", Plain(i), split="train") for i in range(1, 20)]
    use_source(monkeypatch, items)
    prepare(dataset_config(duplicates="drop"), tmp_path, tmp_path / "prepared")
    data = PreparedData(tmp_path / "prepared")
    assert list(data.split("test").ids) == ["test a", "test b"]
    assert data.summary["duplicates_dropped"] == 1
    assert rejected(tmp_path / "prepared" / "rejected.csv") == {"t1": "duplicate of test a"}


class Plain:
    """A picture of noise made on the spot."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, settings: DatasetConfig) -> Image.Image:
        return picture(self.seed, (8, 8))


class Killed:
    """A picture whose decoder takes the whole process down."""

    def __call__(self, settings: DatasetConfig) -> Image.Image:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def use_source(monkeypatch: pytest.MonkeyPatch, items: list[Item], **columns: pa.DataType) -> None:
    class Source:
        COLUMNS = columns
        LICENCE = "none"

        def origin(self, config: DatasetConfig) -> str:
            return "made up"

        def opened(self, config: DatasetConfig, raw: Path) -> Opened:
            return Opened(sorted({name for item in items for name in item.factors}), len(items), lambda: iter(items))

    monkeypatch.setattr(prepare_module, "get_source", lambda name: Source())


def test_a_source_may_bring_columns_of_its_own(
    tmp_path: Path, dataset_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [Item(f"{i}", "", Plain(i), extra={"yaw": i / 10, "colour": f"c{i % 3}"}) for i in range(40)]
    use_source(monkeypatch, items, yaw=pa.float32(), colour=pa.string())
    prepare(dataset_config(), tmp_path, tmp_path / "prepared")
    train = PreparedData(tmp_path / "prepared").split("train")
    assert train.column("yaw") == pytest.approx(np.array([int(i) / 10 for i in train.ids]))
    assert list(train.column("colour")) == [f"c{int(i) % 3}" for i in train.ids]
    use_source(monkeypatch, items, label=pa.string())
    with pytest.raises(ValueError, match="may not be called 'label'"):
        prepare(dataset_config(), tmp_path, tmp_path / "prepared")


def test_a_killed_worker_is_a_clear_error(tmp_path: Path, dataset_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_module, "_CHUNK", 2)
    use_source(monkeypatch, [*(Item(f"{i}", "", Plain(i)) for i in range(8)), Item("x", "", Killed())])
    with pytest.raises(PrepareError, match=r"a worker process was killed after \d of 9 pictures.*try dataset\.workers=1"):
        prepare(dataset_config(workers=2), tmp_path, tmp_path / "prepared")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_killed_goes_on_with_what_it_had_decoded(
    tmp_path: Path, dataset_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(prepare_module, "_CHUNK", 2)
    monkeypatch.setattr(prepare_module, "WORTH", 1)
    items = [Item(f"{i}", "", Plain(i)) for i in range(40)]
    use_source(monkeypatch, [*items[:31], Item("x", "", Killed()), *items[31:]])
    with pytest.raises(PrepareError, match="was killed"):
        prepare(dataset_config(workers=2), tmp_path, tmp_path / "prepared")
    use_source(monkeypatch, items)
    prepare(dataset_config(), tmp_path, tmp_path / "alone")
    with caplog.at_level(logging.INFO):
        prepare(dataset_config(workers=2, max_unreadable=0.5), tmp_path, tmp_path / "prepared")
    said = re.search(r"(\d+) of 40 pictures had been decoded by a run that did not end", caplog.text)
    assert said and 2 <= int(said[1]) < 40
    for name in ("manifest.parquet", "summary.json", "shards/00000.npy"):
        assert (tmp_path / "prepared" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"prepared", "alone"}


@pytest.mark.parametrize("change", ["pixels", "settings", "file", "torn"])
def test_what_was_decoded_counts_for_the_same_pictures_alone(change: str, tmp_path: Path, dataset_config: MakeConfig) -> None:
    kept, raw, config = tmp_path / "0.npz", tmp_path / "raw", dataset_config()
    raw.write_bytes(bytes(range(64)) * 2)
    loaders = [PixelsInFile(raw, 0, (8, 8)), PixelsInFile(raw, 1, (8, 8))]
    results, pixels, before = process_once(kept, loaders, ["a", "b"], config)
    again = process_once(kept, loaders, ["a", "b"], dataset_config(workers=3))
    assert not before and again[2] and again[0] == results and (again[1] == pixels).all()
    if change == "pixels":
        loaders.reverse()
    elif change == "settings":
        config = dataset_config(image_size=12)
    elif change == "file":
        raw.write_bytes(bytes(range(64)) * 3)
    else:
        kept.write_bytes(kept.read_bytes()[:-100])
    assert not process_once(kept, loaders, ["a", "b"], config)[2]
    assert process_once(kept, loaders, ["a", "b"], config)[2]


class LazyPool(Executor):
    """Runs a job only when its result is asked for, and remembers how many were waiting at most."""

    def __init__(self) -> None:
        self.waiting = self.most = 0

    def submit(self, work: Any, /, *args: Any, **settings: Any) -> Future[Any]:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        future: Future[Any] = Future()

        def result(timeout: float | None = None) -> Any:
            self.waiting -= 1
            return work(*args)

        future.result = result  # type: ignore[method-assign]
        return future


def test_jobs_in_flight_are_bounded_and_results_in_order() -> None:
    pool, taken = LazyPool(), []

    def jobs() -> Iterator[tuple[int, tuple[int]]]:
        for number in range(100):
            taken.append(number)
            yield number, (number,)

    for number, (tag, result) in enumerate(ordered_map(pool, lambda x: x * x, jobs(), in_flight=6)):
        assert (tag, result) == (number, number * number)
        assert len(taken) <= number + 6
    assert pool.most == 6


def test_memory_does_not_grow_with_the_pictures(
    tmp_path: Path, dataset_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def peak(count: int) -> int:
        use_source(monkeypatch, [])
        source = prepare_module.get_source("")
        opened = Opened((), count, lambda: (Item(f"{i}", f"{i}.png", Plain(i)) for i in range(count)))
        monkeypatch.setattr(type(source), "opened", lambda *_: opened)
        monkeypatch.setattr(prepare_module, "get_source", lambda name: source)
        tracemalloc.start()
        prepare(dataset_config(image_size=64, shard_size=50), tmp_path, tmp_path / "prepared")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    monkeypatch.setattr(prepare_module, "_CHUNK", 16)
    peak(30)
    small, large = peak(60), peak(180)
    assert large < small + 500_000  # 120 further pictures of 12 kB are 1.5 MB


def test_statistics_are_exact() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    mean, std = statistics(pixels)
    assert mean == pytest.approx(pixels.mean() / 255, abs=1e-12)
    assert std == pytest.approx(pixels.std() / 255, abs=1e-12)
    assert statistics(np.full((4, 4, 1), 77, np.uint8))[1] == 0.0
