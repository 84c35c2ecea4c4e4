"""Recipes side by side: composed where Hydra is, trained, and judged on validation alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmarks.side_by_side import main
from soda.training.checkpoint import load_model
from tests.support.objects import OBJECTS, VIEWS, of_objects
from tests.support.prepared_factory import make_prepared
from tests.support.shapes import render


def test_a_plan_becomes_models_that_are_judged_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(0)
    colour, shape = generator.integers(0, 3, 260), generator.integers(0, 4, 260)

    def edit(manifest: pd.DataFrame) -> pd.DataFrame:
        return manifest.assign(**{"factor.colour": [f"c{c}" for c in colour], "factor.shape": [f"s{s}" for s in shape]})

    prepared = make_prepared(tmp_path / "prepared", pixels=render(colour, shape), edit=edit)
    small = ["dataset.image_size=16", "dataset.channels=3", "model.channels=16", "train.batch_size=16", "train.images=64"]
    sizes = {"a": 16, "b": 8}
    plan = {name: {"prepared": str(prepared), "overrides": [*small, f"model.latent_dim={size}"]} for name, size in sizes.items()}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    out, settings = ["--out", str(tmp_path / "out")], str(tmp_path / "runs.json")
    main(["--plan", str(tmp_path / "plan.yaml"), "--compose", settings])
    assert not (tmp_path / "out").exists()
    main(["--settings", settings, "--device", "cpu", *out])
    assert {name: load_model(tmp_path / "out" / name)[0].latent_dim for name in plan} == sizes
    main(["--judge", str(prepared), *out])
    judged = json.loads((tmp_path / "out/judged.json").read_text())
    assert judged.keys() == plan.keys() and all({"probe", "factor_probe", "dci_d"} <= each.keys() for each in judged.values())
    capsys.readouterr()
    main(["--judge", str(prepared), *out])
    assert capsys.readouterr().out == ""


def test_a_model_with_cameras_is_judged_by_the_views_it_draws(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (OBJECTS * VIEWS, 16, 16, 3), dtype=np.uint8)
    prepared = make_prepared(tmp_path / "prepared", pixels=pixels, edit=of_objects)
    small = ["dataset.image_size=16", "dataset.channels=3", "model.channels=16", "model.encoder_width=8"]
    training = ["model.cameras.octaves=2", "train.batch_size=16", "train.images=32", "diffusion.sampling_steps=2"]
    overrides = ["model=posed", "views=object", "views.recolour=0", *small, *training]
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({"posed": {"prepared": str(prepared), "overrides": overrides}}))
    out = ["--out", str(tmp_path / "out"), "--device", "cpu"]
    main(["--plan", str(tmp_path / "plan.yaml"), *out])
    main(["--judge", str(prepared), *out])
    found = json.loads((tmp_path / "out/judged.json").read_text())["posed"]
    assert {"probe", "psnr@1", "wrong_pose_psnr@1"} <= found.keys() and 0 < found["psnr@1"] < 20
