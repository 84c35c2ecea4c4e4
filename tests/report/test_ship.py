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
from soda.report import ship as module
from soda.report.parts import ReportError
from soda.report.results import BEGIN, END
from soda.report.ship import ship
from soda.runtime import Decoder, Encoder
from soda.training.checkpoint import load_model, model_metadata
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config
from tests.support.workspace import Workspace

FIGURES: dict[str, Any] = {
    "train": {"images": 96, "seconds": 90.0, "images_per_second": 211.4, "encoder_parameters": 120_000},
    "probe": {f"{who}{how}_top1": 0.5 + i / 50 + j / 10 for i, who in enumerate(("", "pixels_", "random_"))
              for j, how in enumerate(("linear", "knn"))} | {"supervised_top1": 0.931},
    "reconstruction": {"psnr": 21.347, "psnr_mean_picture": 11.2, "ssim": 0.8, "sampling_steps": 10, "pictures": 1000},
    "latent": {"usage_gap": 6.1, "effective_dim": 17.4},
    "export": {"bytes": 901_234, "max_abs_diff": 2e-5, "denoiser_bytes": 1_500_000, "decoder_max_abs_diff": 3e-6},
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, workspace: Workspace) -> Path:
    """A project with a finished run."""
    shutil.copytree(workspace.encoder.parent, tmp_path / "models")
    shutil.copytree(workspace.model_dir, tmp_path / "models/soda")
    (tmp_path / "reports/figures").mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "reports/figures/reconstructions.png")
    for stage, groups in {"train": ("train",), "evaluate": ("probe", "reconstruction", "latent"), "export": ("export",)}.items():
        (tmp_path / f"reports/{stage}.json").write_text(json.dumps({group: FIGURES[group] for group in groups}))
    (tmp_path / "README.md").write_text(f"Before.\n{BEGIN}\nof an earlier run\n{END}\nAfter.\n")
    return tmp_path


def test_what_is_shipped_works_and_its_card_tells_the_run(run: Path) -> None:
    shipped = ship("mine", run, made_by="make pipeline")
    folder = run / "zoo/mine"
    onnx = ["denoiser.onnx", "encoder.fp16.onnx", "encoder.int8.onnx", "encoder.onnx"]
    names = ["README.md", "config.yaml", *onnx, "model.safetensors", "reconstructions.png"]
    assert sorted(path.name for path in folder.iterdir()) == names == sorted(shipped["files"])
    assert shipped["bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    assert json.loads((run / "docs/results/mine.json").read_text()) == FIGURES
    load_model(folder)
    assert Encoder(folder / "encoder.onnx").embed([np.zeros((9, 9, 3), np.uint8)]).shape == (1, 16)
    card = (folder / "README.md").read_text()
    assert Decoder(folder / "denoiser.onnx").sample(np.zeros(16)).shape == (16, 16, 1)
    for said in (
        "2 directions",
        "encoder.int8.onnx: ",
        "of torch (pixels",
        "`make pipeline`",
        "CC0-1.0",
        "drawn at random",
        "21.35 dB",
        "**50.0%** | **60.0%**",
        "93.1%",
        "96 images in 90 s",
    ):
        assert said in card, said


def test_authors_are_credited(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def edit(manifest: pd.DataFrame) -> pd.DataFrame:
        authors = [f"A{i % 2}" if i % 3 else "" for i in range(len(manifest))]
        return manifest.assign(name="Chaise, longue", author=authors, licence="CC0")

    make_prepared(run / "data/prepared", n=9, edit=edit)
    with pytest.raises(ExportError, match="prepared holds other data"):
        ship("mine", run)
    # As if the model had been trained on these.
    trained_on = model_metadata(run / "models/soda")["data_version"]
    monkeypatch.setattr(PreparedData, "version", property(lambda _: trained_on, lambda *_: None), raising=False)
    for credited in (True, False):
        ship("mine", run)
        assert (run / "zoo/mine/credits.csv").exists() == credited
        assert ("[credits.csv](credits.csv)" in (run / "zoo/mine/README.md").read_text()) == credited
        if credited:
            rows = list(csv.reader((run / "zoo/mine/credits.csv").read_text().splitlines()))
            assert rows == [["name", "author", "licence"], ["Chaise, longue", "A0", "CC0"], ["Chaise, longue", "A1", "CC0"]]
        shutil.rmtree(run / "data/prepared")
        make_prepared(run / "data/prepared", n=9)


def test_shipping_renews_the_gallery_and_the_table_of_the_readme(run: Path) -> None:
    assert ship("mine", run)["gallery"] == "mine"
    assert "![Originals over reconstructions](images/mine/reconstructions.png)" in (run / "docs/gallery.md").read_text()
    before, rest = (run / "README.md").read_text().split(BEGIN)
    table, after = rest.split(END)
    assert (before, after) == ("Before.\n", "\nAfter.\n")
    assert "| **linear probe on the frozen latent** | **50.0%** |" in table and "earlier" not in table


def test_a_run_without_labels_ships_with_a_card_without_probes(run: Path) -> None:
    (run / "reports/evaluate.json").write_text(json.dumps({key: FIGURES[key] for key in ("reconstruction", "latent")}))
    ship("mine", run)
    card = (run / "zoo/mine/README.md").read_text()
    assert "linear probe" not in card and "21.35" in card


def test_refused_with_the_reason_and_nothing_changes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ship("mine", run)
    before = {path: path.read_bytes() for path in (run / "zoo").rglob("*") if path.is_file()}
    with pytest.raises(ExportError, match=r"\.\./up"):
        ship("../up", run)
    with monkeypatch.context() as patch, pytest.raises(ExportError, match="bytes"):
        patch.setattr(module, "MAX_BYTES", 10_000)
        ship("mine", run)
    evaluation = (run / "reports/evaluate.json").read_text()
    (run / "reports/evaluate.json").write_text('{"probe": {"linear_top": 0.5}}')
    with pytest.raises(ReportError, match=r"evaluate\.json: probe\.linear_top: no measure declares"):
        ship("mine", run)
    (run / "reports/evaluate.json").unlink()
    with pytest.raises(ExportError, match=r"evaluate\.json missing"):
        ship("mine", run)
    (run / "reports/evaluate.json").write_text(evaluation)
    (run / "models/variants/variants.json").rename(run / "kept.json")
    with pytest.raises(ExportError, match=r"variants\.json: no list of variants"):
        ship("mine", run)
    (run / "kept.json").rename(run / "models/variants/variants.json")
    other = Workspace(run / "other", make_config("dataset.channels=1", "export.parity_images=8"))
    other.save("another version")
    shutil.rmtree(run / "models/soda")
    shutil.copytree(other.model_dir, run / "models/soda")
    with pytest.raises(ExportError, match="another model"):
        ship("mine", run)
    assert {path: path.read_bytes() for path in (run / "zoo").rglob("*") if path.is_file()} == before
