"""What an encoder adds to the gate: which one is asked, labels against neighbours by z, and vectors beside those before."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.drawn import SHAPES, drawn
from soda.data.gate.by_encoder import Vectors, encoder_of, judge_labels, label_checks
from soda.data.gate.validate import validate
from soda.data.gate.verdict import GateError
from tests.support.gate import CONFIG
from tests.support.prepared_factory import make_prepared
from tests.support.settings import ROOT

ZOO = ROOT / "zoo/fashion_mnist/encoder.onnx"


def released(folder: Path, version: str = "v1.0.0") -> Path:
    """A folder of releases with an encoder in use."""
    (folder / version).mkdir(parents=True)
    shutil.copyfile(ZOO, folder / version / "encoder.onnx")
    (folder / "current.json").write_text(json.dumps({"version": version, "before": [], "withdrawn": []}))
    return folder


def judge(tmp_path: Path, name: str, seed: int, *, kinds: int = 5, releases: Path | None) -> dict[str, Any]:
    """The verdict on 300 drawn shapes."""
    random = np.random.default_rng(seed)
    which = random.integers(0, kinds, 300)
    labels = np.asarray(SHAPES, object)[which]
    prepared = make_prepared(
        tmp_path / name, pixels=drawn(random, which, 24), edit=lambda manifest: manifest.assign(label=labels.tolist())
    )
    verdict = tmp_path / f"{name}.json"
    config = dataclasses.replace(CONFIG, encoder="released")
    try:
        validate(config, prepared, verdict, tmp_path / "docs", tmp_path / "accepted", releases)
    except GateError:
        assert kinds < len(SHAPES)  # a label is gone
    found: dict[str, Any] = json.loads(verdict.read_text())
    return found


def test_a_version_is_held_to_the_one_before_by_the_released_encoder(tmp_path: Path) -> None:
    releases = released(tmp_path / "releases")
    first = judge(tmp_path, "first", 1, releases=releases)
    assert any(note.startswith("By the encoder of release v1.0.0") for note in first["notes"])
    again = judge(tmp_path, "again", 2, releases=releases)
    assert not again["remarks"] and "z" in {check["table"] for check in again["checks"]}
    missing = judge(tmp_path, "missing", 4, kinds=3, releases=releases)
    moved = [check for check in missing["checks"] if check["table"] == "z" and not check["success"]]
    assert moved and moved[0]["severity"] == "remark"


def test_vectors_of_two_encoders_are_not_compared_and_pixels_are_where_there_is_none(tmp_path: Path) -> None:
    judge(tmp_path, "first", 1, releases=None)
    second = judge(tmp_path, "second", 2, releases=released(tmp_path / "releases"))
    assert "z" not in {check["table"] for check in second["checks"]} and not second["remarks"]
    third = judge(tmp_path, "third", 3, releases=tmp_path / "nothing")
    assert "No encoder is released here, so pictures were compared by pixels alone." in third["notes"]


def test_which_encoder_is_asked(tmp_path: Path) -> None:
    releases = released(tmp_path / "releases", "v2.0.1")
    assert encoder_of("released", releases) == (releases / "v2.0.1/encoder.onnx", "release v2.0.1")
    assert encoder_of("released", tmp_path / ".prefect/workspace/releases")[1] == "release v2.0.1"  # where a deployment works
    assert encoder_of(str(ZOO), None) == (ZOO, str(ZOO))
    assert encoder_of(None, releases)[0] is None
    (releases / "current.json").write_text("{")
    assert encoder_of("released", releases)[0] is None
    with pytest.raises(GateError, match=r"gate\.encoder: nowhere\.onnx: there is no such file"):
        encoder_of("nowhere.onnx", None)


def test_the_share_of_gainsaid_labels_is_held_to_the_accepted_version() -> None:
    """The figures of Fashion-MNIST with 5 % and 10 % of its labels permuted."""
    then = {"gainsaid": [115, 2836]}
    assert not label_checks([120, 2800], then) and label_checks([201, 2682], then)
    assert not label_checks([201, 2682], None) and label_checks([292, 2435], None)


def test_labels_are_gainsaid_by_neighbours_in_z() -> None:
    random = np.random.default_rng(0)
    which = np.arange(200) % 4
    z = np.eye(4, 6, dtype=np.float32)[which] + random.normal(0, 0.05, (200, 6)).astype(np.float32)
    labels = np.asarray(SHAPES, object)[which]
    labels[[3, 50]] = "disc"
    labels[7] = ""  # is not asked
    pictures = pd.DataFrame({"split": "train", "label": labels})
    told, (gainsaid, judged) = judge_labels(pictures, Vectors("", np.arange(200), z))
    wrong = [row for row in (3, 50) if SHAPES[which[row]] != "disc"]
    assert np.flatnonzero(pd.notna(told)).tolist() == wrong and gainsaid == len(wrong) and judged == 199
    assert told[wrong[0]] == f"disc, where 10 of the 10 most alike are {SHAPES[which[wrong[0]]]}"
