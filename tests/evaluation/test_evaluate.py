"""The evaluation stage: the model stays as it is, all or nothing is written, and no data set is too awkward."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from soda.config import Config
from soda.evaluation.context import EvaluationContext
from soda.evaluation.evaluate import EvaluationError, evaluate
from soda.evaluation.frozen import FrozenError
from soda.evaluation.registry import Measure, UndeclaredError, flatten
from soda.training.checkpoint import save_model
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config
from tests.support.shapes import bars_and_dots, shaken

CPU = torch.device("cpu")


FAST = (
    "train.images=96",
    "evaluate.reconstructions=12",
    "evaluate.fid_images=16",
    "evaluate.batch_size=16",
    "evaluate.probe_l2=[0.01]",
)


GALLERY = {"walks", "mix_cuts", "directions", "reconstruction_cost"}


def save_random_model(folder: Path, config: Config) -> Path:
    save_model(folder, shaken(config), config, data_version="0", images=0)
    return folder


def run(tmp_path: Path, config: Config, prepared: Path, name: str = "a") -> tuple[dict[str, Any], Path]:
    figures = tmp_path / name / "figures"
    model = save_random_model(tmp_path / "model", config)
    out = tmp_path / name
    found = evaluate(config.evaluate, model, prepared, out / "e.json", figures, out / "directions.safetensors", out / "runs")
    assert json.loads((tmp_path / name / "e.json").read_text()) == json.loads(json.dumps(found))
    return found, figures


def test_all_that_the_report_wants_is_measured_and_drawn(tmp_path: Path) -> None:
    config = make_config("dataset.channels=3", *FAST)
    prepared = make_prepared(tmp_path / "data", pixels=bars_and_dots(), labels=("bar", "dot"))
    found, figures = run(tmp_path, config, prepared)
    wanted = {"linear_top1", "knn_top1", "pixels_linear_top1", "random_linear_top1", "supervised_top1", "majority_top1"}
    wanted |= {"features_linear_top1", "random_features_knn_top1", "random_linear_top1_std"}
    assert wanted < set(found["probe"])
    assert all(0 <= found["probe"][key] <= 1 for key in wanted)
    assert found["probe"]["pixels_linear_top1"] == 1.0  # bars and dots are told apart by their pixels
    assert found["probe"]["majority_top1"] == 0.5
    paired = found["probe"]["paired"]
    assert set(paired) == {"features", "pixels", "random", "random_features"}
    assert paired["pixels"]["difference"] == pytest.approx(found["probe"]["linear_top1"] - 1.0)
    assert all(0 <= each["p"] <= 1 for each in paired.values())
    assert {"psnr", "psnr_std", "ssim", "lpips_like", "fid_like", "psnr_shuffled_z", "psnr_mean_picture"} < set(
        found["reconstruction"]
    )
    assert {"fid_like_train", "fid_like_paired", "fid_like@5"} < set(found["reconstruction"])
    assert "10 test pictures and 10 other test pictures" in " ".join(found["reconstruction"]["notes"])  # halves of the 20
    assert found["reconstruction"]["pictures"] == 12
    assert "usage_gap" in found["latent"]
    for group in found.values():
        assert group["notes"]
        assert all(isinstance(v, (int, float)) and np.isfinite(v) for v in flatten(group).values())
    assert {"exact_psnr", "lpips_like@10"} < set(found["reconstruction"])
    assert found["interpolation"]["path_length"] > 0
    names = {"reconstructions", "neighbours", "latent_map", "latent_map_images", "confusion", "probe"}
    names |= GALLERY
    assert {path.name for path in figures.iterdir()} == {f"{name}.png" for name in names}

    again, others = run(tmp_path, config, prepared, "b")
    assert again == found
    assert all((figures / f"{name}.png").read_bytes() == (others / f"{name}.png").read_bytes() for name in names)


def test_the_model_that_training_began_with_is_probed_beside(tmp_path: Path) -> None:
    """With the very model that is judged as the beginning, both have the same figures; one that is gone is said to be."""
    start = tmp_path / "model"
    config = make_config("dataset.channels=3", *FAST, f"train.init={start}", "evaluate.supervised=false")
    prepared = make_prepared(tmp_path / "data", pixels=bars_and_dots(), labels=("bar", "dot"))
    found = run(tmp_path, config, prepared)[0]["probe"]
    assert found["begun_linear_top1"] == found["linear_top1"] and found["begun_knn_top1"] == found["knn_top1"]
    assert "begun" in found["paired"]
    gone = make_config("dataset.channels=3", *FAST, "train.init=zoo/gone", "evaluate.supervised=false")
    found = run(tmp_path, gone, prepared, "b")[0]["probe"]
    assert "begun_linear_top1" not in found and any("zoo/gone" in note for note in found["notes"])
    frozen = (f"train.init={start}", "evaluate.supervised=false", "train.encoder_lr_factor=0")
    kept = make_config("dataset.channels=3", *FAST, *frozen)
    found = run(tmp_path, kept, prepared, "c")[0]["probe"]
    assert "begun_linear_top1" not in found and any("the denoiser alone learnt" in note for note in found["notes"])


def test_features_that_are_z_are_not_probed_twice(tmp_path: Path) -> None:
    config = make_config(
        "dataset.channels=3", *FAST, "evaluate.supervised=false", "model.encoder_head=map", "model.latent_dim=128"
    )
    prepared = make_prepared(tmp_path / "data", pixels=bars_and_dots(), labels=("bar", "dot"))
    found = run(tmp_path, config, prepared)[0]["probe"]
    assert {"linear_top1", "random_linear_top1", "random_linear_top1_std"} < set(found)
    assert not [key for key in found if "features" in key] and set(found["paired"]) == {"pixels", "random"}
    assert any("z is the encoder's features." in note for note in found["notes"])


def test_without_labels_everything_else_is_there(tmp_path: Path) -> None:
    prepared = make_prepared(tmp_path / "data", pixels=bars_and_dots(channels=1), labels=None)
    found, figures = run(tmp_path, make_config(*FAST), prepared)
    assert flatten(found["probe"]) == {}
    assert "0 labels" in found["probe"]["notes"][0]
    assert {"psnr", "fid_like"} < set(found["reconstruction"])
    assert "untrained encoder" in " ".join(found["reconstruction"]["notes"])
    assert {path.stem for path in figures.iterdir()} == GALLERY | {"reconstructions", "neighbours", "latent_map"}


def test_partly_labelled_with_lone_and_unseen_labels(tmp_path: Path) -> None:
    def edit(manifest: pd.DataFrame) -> pd.DataFrame:
        train, test = (np.flatnonzero(manifest["split"] == name) for name in ("train", "test"))
        manifest.loc[manifest["split"] == "val", "label"] = ""
        manifest.loc[train[::3], "label"] = ""
        manifest.loc[train[1], "label"] = "alone"
        manifest.loc[test[0], "label"] = "unseen"
        manifest.loc[test[1], "label"] = ""
        return manifest

    prepared = make_prepared(tmp_path / "data", pixels=bars_and_dots(channels=1), labels=("bar", "dot"), edit=edit)
    found, _ = run(tmp_path, make_config(*FAST), prepared)
    assert found["probe"]["test_labels"] == 19
    assert found["probe"]["pixels_linear_top1"] <= 18 / 19
    assert "linear_val_top1" not in found["probe"]
    assert any("occur in no training picture" in note for note in found["probe"]["notes"])


def test_a_single_test_picture_is_enough(tmp_path: Path) -> None:
    prepared = make_prepared(tmp_path / "data", pixels=bars_and_dots(40, channels=1), splits=(0.025, 0.025))
    found, figures = run(tmp_path, make_config(*FAST, "evaluate.supervised=false"), prepared)
    assert found["probe"]["test_labels"] == 1
    assert "usage_gap" not in found["latent"]
    assert not any(key.startswith("fid_like") for key in found["reconstruction"])  # there is no other picture
    assert "supervised_top1" not in found["probe"]
    assert (figures / "reconstructions.png").exists()


def test_pictures_of_another_size_are_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    config, out, figures = make_config(*FAST), tmp_path / "e.json", tmp_path / "figures"
    out.write_text("earlier")
    figures.mkdir()
    (figures / "earlier.png").write_text("earlier")
    model = save_random_model(tmp_path / "model", config)
    prepared = make_prepared(tmp_path / "data", size=8)
    with pytest.raises(EvaluationError, match=r"image_size = 16.*pictures of 8"):
        evaluate(config.evaluate, model, prepared, out, figures, tmp_path / "d", tmp_path / "runs")
    assert out.read_text() == (figures / "earlier.png").read_text() == "earlier"


def test_a_failure_half_way_leaves_the_earlier_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, out, figures = make_config(*FAST, "evaluate.supervised=false"), tmp_path / "e.json", tmp_path / "figures"
    out.write_text("earlier")
    figures.mkdir()
    (figures / "earlier.png").write_text("earlier")

    def burst(*args: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("soda.viz.charts.probe_bars", burst)
    prepared = make_prepared(tmp_path / "data", pixels=bars_and_dots(40, channels=1))
    with pytest.raises(OSError, match="disk full"):
        model = save_random_model(tmp_path / "model", config)
        evaluate(config.evaluate, model, prepared, out, figures, tmp_path / "d", tmp_path / "runs")
    assert out.read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "e.json", "figures", "model"]
    assert [path.name for path in figures.iterdir()] == ["earlier.png"]


def test_an_encoder_changed_on_the_way_stops_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(*FAST, "evaluate.supervised=false")

    def meddle(context: EvaluationContext) -> dict[str, Any]:
        with torch.no_grad():
            next(context.model.encoder.parameters()).mul_(1.001)
        return {}

    meddling = Measure("meddling", "Meddling", 0, compute=meddle)
    monkeypatch.setattr("soda.evaluation.evaluate.measures", lambda: (meddling,))
    prepared = make_prepared(tmp_path / "data", pixels=bars_and_dots(40, channels=1))
    with pytest.raises(FrozenError, match="changed"):
        run(tmp_path, config, prepared)
    assert not (tmp_path / "a" / "e.json").exists()
    assert not (tmp_path / "a" / "figures").exists()


def test_a_figure_that_its_measure_does_not_declare_stops_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    careless = Measure("latent", "Careless", 0, compute=lambda context: {"usage_gab": 1.0})
    monkeypatch.setattr("soda.evaluation.evaluate.measures", lambda: (careless,))
    prepared = make_prepared(tmp_path / "data", pixels=bars_and_dots(40, channels=1))
    with pytest.raises(UndeclaredError, match=r"latent\.usage_gab"):
        run(tmp_path, make_config(*FAST), prepared)
    assert not (tmp_path / "a" / "e.json").exists()
