"""Shipping a run: the folder is whole, the card says what the run measured, and what does not belong together is refused."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from soda.data.dataset import PreparedData
from soda.export import ExportError
from soda.export import ship as module
from soda.export.ship import ship
from soda.runtime import Decoder, Encoder
from soda.training.checkpoint import load_model, model_metadata
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config
from tests.support.workspace import Workspace

FIGURES: dict[str, Any] = {
    "train": {"seconds": 90.0, "images_per_second": 211.4, "encoder_parameters": 120_000, "denoiser_parameters": 340_000},
    "probe": {f"{who}{how}_top1": 0.5 + i / 50 + j / 10 for i, who in enumerate(("", "pixels_", "random_"))
              for j, how in enumerate(("linear", "knn"))} | {"supervised_top1": 0.931},
    "reconstruction": {"psnr": 21.347, "psnr_mean_picture": 11.2, "ssim": 0.8, "sampling_steps": 10, "pictures": 1000},
    "latent": {"usage_gap": 6.1, "effective_dim": 17.4},
    "export": {"bytes": 901_234, "max_abs_diff": 2e-5, "denoiser_bytes": 1_500_000, "decoder_max_abs_diff": 3e-6},
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, workspace: Workspace) -> dict[str, Path]:
    shutil.copytree(workspace.encoder.parent, tmp_path / "out")
    shutil.copytree(workspace.model_dir, tmp_path / "model")
    (tmp_path / "figures").mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "figures/reconstructions.png")
    (tmp_path / "metrics.json").write_text(json.dumps(FIGURES))
    return {
        "model_dir": tmp_path / "model",
        "encoder": tmp_path / "out/encoder.onnx",
        "denoiser": tmp_path / "out/denoiser.onnx",
        "variants": tmp_path / "out/variants",
        "metrics": tmp_path / "metrics.json",
        "figures": tmp_path / "figures",
        "zoo": tmp_path / "zoo",
        "results": tmp_path / "results",
    }


def test_what_is_shipped_works_and_its_card_tells_the_run(run: dict[str, Path]) -> None:
    shipped = ship("mine", **run, command="make pipeline")
    folder = run["zoo"] / "mine"
    onnx = ["denoiser.onnx", "encoder.fp16.onnx", "encoder.int8.onnx", "encoder.onnx"]
    names = ["README.md", "config.yaml", *onnx, "model.safetensors", "reconstructions.png"]
    assert sorted(path.name for path in folder.iterdir()) == names == sorted(shipped["files"])
    assert shipped["bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    assert json.loads((run["results"] / "mine.json").read_text()) == FIGURES
    load_model(folder)
    assert Encoder(folder / "encoder.onnx").embed([np.zeros((9, 9, 3), np.uint8)]).shape == (1, 16)
    card = (folder / "README.md").read_text()
    assert Decoder(folder / "denoiser.onnx").sample(np.zeros(16)).shape == (16, 16, 1)
    for said in (
        "2 directions",
        "encoder.int8.onnx: ",
        "of torch, pixels",
        "`make pipeline`",
        "CC0-1.0",
        "drawn at random",
        "21.35 dB",
        "0.500 | 0.600",
        "0.931",
        "96 images in 2 minutes",
    ):
        assert said in card, said


def test_authors_are_credited(run: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def edit(manifest: pd.DataFrame) -> pd.DataFrame:
        authors = [f"A{i % 2}" if i % 3 else "" for i in range(len(manifest))]
        return manifest.assign(name="Chaise, longue", author=authors, licence="CC0")

    prepared = make_prepared(tmp_path / "prepared", n=9, edit=edit)
    with pytest.raises(ExportError, match="prepared holds other data"):
        ship("mine", **run, prepared=prepared)
    trained_on = model_metadata(run["model_dir"])["data_version"]
    for folder, credited in ((prepared, True), (make_prepared(tmp_path / "plain", n=9), False)):
        # As if the model had been trained on these.
        monkeypatch.setattr(PreparedData, "version", property(lambda _: trained_on, lambda *_: None), raising=False)
        ship("mine", **run, prepared=folder)
        assert (run["zoo"] / "mine/credits.csv").exists() == credited
        assert ("[credits.csv](credits.csv)" in (run["zoo"] / "mine/README.md").read_text()) == credited
        if credited:
            rows = list(csv.reader((run["zoo"] / "mine/credits.csv").read_text().splitlines()))
            assert rows == [["name", "author", "licence"], ["Chaise, longue", "A0", "CC0"], ["Chaise, longue", "A1", "CC0"]]


def test_a_run_without_labels_ships_with_a_card_that_says_so(run: dict[str, Path]) -> None:
    run["metrics"].write_text(json.dumps(FIGURES | {"probe": {"notes": []}}))
    ship("mine", **run)
    assert "no labels" in (run["zoo"] / "mine/README.md").read_text()


def test_refused_with_the_reason_and_nothing_changes(run: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    ship("mine", **run)
    before = {path: path.read_bytes() for path in run["zoo"].rglob("*") if path.is_file()}
    with pytest.raises(ExportError, match=r"\.\./up"):
        ship("../up", **run)
    half = run["metrics"].with_name("half.json")
    half.write_text('{"train": {}}')
    with pytest.raises(ExportError, match=r"half\.json"):
        ship("mine", **(run | {"metrics": half}))
    with pytest.raises(ExportError, match=r"none\.json"):
        ship("mine", **(run | {"metrics": half.with_name("none.json")}))
    with monkeypatch.context() as patch, pytest.raises(ExportError, match="bytes"):
        patch.setattr(module, "MAX_BYTES", 10_000)
        ship("mine", **run)
    with pytest.raises(ExportError, match=r"variants\.json: no list of variants"):
        ship("mine", **(run | {"variants": run["figures"]}))
    other = Workspace(run["zoo"].parent / "other", make_config("dataset.channels=1", "export.parity_images=8"))
    other.save("another version")
    with pytest.raises(ExportError, match="another model"):
        ship("mine", **(run | {"model_dir": other.model_dir}))
    assert {path: path.read_bytes() for path in run["zoo"].rglob("*") if path.is_file()} == before
