"""benchmarks.disentanglement: every method is measured on the same points, on the split that was asked for, into one file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import disentanglement, representations
from benchmarks.disentanglement import draw_points, main
from benchmarks.representations import averaged
from soda.data.dataset import PreparedData
from soda.evaluation.disentanglement import dci_boosted
from soda.evaluation.disentanglement.protocol import Points
from soda.evaluation.samples import Sample
from soda.training.checkpoint import save_model
from tests.support.models import awake
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config
from tests.support.shapes import render


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with `data` of two factors and a `model` of random weights."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    colour, shape = generator.integers(0, 3, 300), generator.integers(0, 4, 300)

    def edit(manifest: pd.DataFrame) -> pd.DataFrame:
        return manifest.assign(**{"factor.colour": [f"c{c}" for c in colour], "factor.shape": [f"s{s}" for s in shape]})

    make_prepared(tmp_path / "data", pixels=render(colour, shape), edit=edit)
    config = make_config("dataset.channels=3", "train.images=640")
    save_model(tmp_path / "model", awake(config), config, data_version="x", images=0)
    return tmp_path


def test_all_methods_stand_in_one_file_beside_other_data(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dci_boosted, "ROUNDS", 5)
    monkeypatch.setattr(representations, "BETAS", (1.0, 4.0))
    monkeypatch.setattr(disentanglement, "JUDGED_ON", Points(150, 10, 40))
    out = world / "out.json"
    out.write_text(json.dumps({"other": {"soda": {"dci_d": 1.0}}}))
    places = ["--model", world / "model", "--prepared", world / "data", "--runs", world / "runs", "--out", out]
    main([*map(str, places), "--points", "120", "--seeds", "1", "--threads", "1", "--name", "shapes", "--vae-share", "0.5"])
    found = json.loads(out.read_text())
    assert found["other"] == {"soda": {"dci_d": 1.0}}
    rows = found["shapes"]
    both = {"beta_vae", "beta_tcvae"}
    assert set(rows) == {"soda", "soda_sections", "rotated", "features", "untrained", "pca", "pixels_8", "pixels_16"} | both
    for row in rows.values():
        assert {"dci_d", "dci_c", "dci_i", "mig", "sap", "factorvae", "modularity", "explicitness", "lasso_d"} <= set(row)
        assert row["seeds"] == 1 and row["points"] == 120 and row["split"] == "test" and 0 <= row["dci_d"] <= 1
    assert rows["pixels_8"]["components"] == 3 * 8 * 8
    # Colour stands in pixels of its own; what a turn cannot hide from a linear reader stays as it was.
    assert rows["rotated"]["explicitness"] == pytest.approx(rows["soda"]["explicitness"], abs=0.02)
    with pytest.raises(SystemExit, match="no such method: pixel_8"):
        main([*map(str, places), "--only", "pixel_8"])


def test_points_for_a_choice_never_come_from_test(world: Path) -> None:
    data = PreparedData(world / "data")
    points = Points(50, 100, 100)
    samples = draw_points(data, points, "val", 0)
    assert {sample.split.name for sample in samples.values()} == {"train", "val"}
    assert len(samples["val"]) == 12 and len(samples["test"]) == 48  # of 60, a fifth for Lasso's penalty
    assert not set(samples["val"].indices) & set(samples["test"].indices)
    asked = draw_points(data, points, "test", 0)
    assert asked["test"].split.name == "test" and len(asked["val"]) == 60
    assert set(draw_points(data, points, "test", 1)["train"].indices) != set(asked["train"].indices)


def test_pixels_are_averaged(world: Path) -> None:
    sample = Sample(PreparedData(world / "data").split("test"), np.arange(3))
    wanted = sample.gather(np.arange(3)).reshape(3, 8, 2, 8, 2, 3).mean((2, 4)) / 255
    assert averaged(sample, 8).reshape(3, 3, 8, 8).transpose(0, 2, 3, 1) == pytest.approx(wanted, abs=1e-6)
