"""A version of a data set beside the last accepted one: planted faults are seen, a new draw of the same is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from soda.data.gate.accepted import change_table, describe_version
from soda.data.gate.validate import validate
from soda.data.near_copies import thumbnails
from tests.support.gate import CONFIG, judge
from tests.support.prepared_factory import make_prepared


def scenes(seed: int, count: int = 300) -> np.ndarray:
    """Warm pictures of large shapes, a third of them brighter: (n, 16, 16, 3) uint8."""
    rng = np.random.default_rng(seed)
    shapes = np.kron(rng.normal(0, 40, (count, 4, 4, 1)), np.ones((1, 4, 4, 1)))
    colours = rng.normal((150, 120, 90), 15, (count, 1, 1, 3))
    return np.clip(shapes + colours + rng.normal(0, 6, (count, 16, 16, 3)), 0, 255).astype(np.uint8)


FAULTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "inverted": lambda pixels: 255 - pixels,
    "channels swapped": lambda pixels: pixels[..., ::-1],
    "brighter": lambda pixels: np.clip(pixels.astype(np.int16) + 40, 0, 255).astype(np.uint8),
    "half of them grey": lambda pixels: np.where(
        (np.arange(len(pixels)) % 2 == 0)[:, None, None, None], pixels, pixels.mean(3, keepdims=True).astype(np.uint8)
    ),
    "smoothed": lambda pixels: (
        np.kron(pixels.reshape(-1, 2, 8, 2, 8, 3).mean((2, 4)), np.ones((1, 8, 8, 1))).astype(np.uint8)
        + np.random.default_rng(0).integers(0, 2, pixels.shape, dtype=np.uint8)
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_pictures_that_were_altered_are_far_from_those_before(fault: str) -> None:
    table = change_table(describe(FAULTS[fault](scenes(2))), describe(scenes(1)))
    assert (table["distance"] > table["stopped_from"]).any(), table


def test_altered_pictures_are_stopped_and_are_nothing_to_be_held_to(tmp_path: Path) -> None:
    first, message = judge(tmp_path, scenes(1), "first")
    assert not message and any("compared with none" in note for note in first["notes"])
    verdict, message = judge(tmp_path, 255 - scenes(2), "second")
    assert "far from those of the last accepted version" in message and "take " in message and not verdict["success"]
    again, message = judge(tmp_path, scenes(3), "third")
    assert again["success"], message


def test_another_draw_of_the_same_passes(tmp_path: Path) -> None:
    judge(tmp_path, scenes(10), "first")
    verdict, message = judge(tmp_path, scenes(11, 200), "second")
    assert not message and not verdict["remarks"]
    same, _ = judge(tmp_path, scenes(11, 200), "second")
    assert same == verdict  # a second look at the same data is held to the same


def test_files_of_several_frames_are_remarked_on(tmp_path: Path) -> None:
    prepared = make_prepared(tmp_path / "data", pixels=scenes(1))
    summary = json.loads((prepared / "summary.json").read_text())
    summary["several_frames"] = {"count": 7, "first": ["a.gif", "b.tif"]}
    (prepared / "summary.json").write_text(json.dumps(summary))
    validate(CONFIG, prepared, tmp_path / "verdict.json", tmp_path / "docs", tmp_path / "accepted")
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    wanted = "7 files hold several frames or pages (animations, scans); the first of each is taken: a.gif, b.tif, ..."
    assert verdict["success"] and wanted in verdict["remarks"]


def test_chance_is_within_the_bounds() -> None:
    """Twenty pairs of draws, without the rest of the gate."""
    for seed in range(20):
        now, before = (describe(scenes(2 * seed + n, 100 + 200 * n)) for n in (0, 1))
        table = change_table(now, before)
        assert (table["distance"] <= table["said_from"]).all(), table


def describe(pixels: np.ndarray) -> dict[str, Any]:
    pictures = pd.DataFrame({"split": "train", "label": ""}, index=range(len(pixels)))
    about = {"channels": pixels.shape[3], "image_size": pixels.shape[1]}
    return describe_version(pictures, thumbnails(pixels), about, "", pixels.__getitem__)


def test_labels_that_are_gone_stop_and_rarer_ones_are_remarked(tmp_path: Path) -> None:
    judge(tmp_path, scenes(1), "first", labels=("cat", "dog", "owl"))
    verdict, message = judge(tmp_path, scenes(2), "second", labels=("cat", "dog"))
    assert "Labels of the last accepted version that train has no more: 1 (owl" in message
    verdict, message = judge(tmp_path, scenes(3), "third", labels=("cat", "dog") * 12 + ("owl",))
    assert not message and any("share of train changed much" in remark and "owl" in remark for remark in verdict["remarks"])


def test_other_settings_are_another_data_set(tmp_path: Path) -> None:
    judge(tmp_path, scenes(1), "first")
    verdict, message = judge(tmp_path, 255 - scenes(2)[:, ::2, ::2], "second")
    assert not message and any("compared with none" in note for note in verdict["notes"])


def planted(pixels: np.ndarray, how: str) -> np.ndarray:
    """The first picture of train once more in test, a little changed."""
    pixels = pixels.copy()
    copy = pixels[0].astype(np.int16)
    if how == "a pixel":
        copy[5, 5] = 255 - copy[5, 5]
    else:
        copy += np.random.default_rng(0).integers(-3, 4, copy.shape)
    pixels[-1] = np.clip(copy, 0, 255)
    return pixels


@pytest.mark.parametrize("how", ["a pixel", "saved again"])
def test_a_near_copy_in_another_split_is_a_remark_with_both_named(tmp_path: Path, how: str) -> None:
    clean, _ = judge(tmp_path, scenes(4), "clean")
    assert not clean["remarks"]
    verdict, message = judge(tmp_path, planted(scenes(5), how), "planted")
    assert not message and verdict["success"]
    (check,) = [check for check in verdict["checks"] if not check["success"]]
    assert check["severity"] == "remark"
    assert {row["file"]: row["value"] for row in check["failing_rows"]} == {
        "raw/0299.png": "raw/0000.png (train)",
        "raw/0000.png": "raw/0299.png (test)",
    }


def test_labels_mixed_up_are_a_remark_with_the_rows(tmp_path: Path) -> None:
    """Two kinds of pictures that are easily told apart; then the labels of a third are drawn anew."""
    rng = np.random.default_rng(0)
    kind = np.arange(400) % 2
    pixels = np.where(kind[:, None, None, None] == 1, 255 - scenes(6, 400)[:, ::-1], scenes(6, 400))
    pixels[:, :, :8] = np.where(kind[:, None, None, None] == 1, 220, 30) + rng.integers(0, 20, pixels[:, :, :8].shape)
    clean, _ = judge(tmp_path, pixels, "clean")
    assert not clean["remarks"]
    wrong = rng.random(400) < 1 / 3

    def mixed(manifest: Any) -> Any:
        manifest.loc[wrong, "label"] = rng.permutation(manifest.loc[wrong, "label"].to_numpy())
        return manifest

    verdict, message = judge(tmp_path, pixels, "mixed", edit=mixed)
    assert not message
    (check,) = [check for check in verdict["checks"] if check["column"] == "label_gainsaid"]
    assert not check["success"] and all("most alike are" in row["value"] for row in check["failing_rows"])
    named = [int(row["file"][4:8]) for row in check["failing_rows"]]
    assert len(named) == 20 and all(wrong[row] for row in named)
