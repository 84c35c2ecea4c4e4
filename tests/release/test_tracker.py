"""Releases in MLflow, where it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest

from soda.cli import main
from soda.common.errors import NotInstalledError
from soda.release import ReleaseError
from soda.release.tracker import ALIAS, track
from soda.runtime import Encoder
from tests.support.releases import release
from tests.support.running import ENCODER

HAS = importlib.util.find_spec("mlflow") is not None
needs_mlflow = pytest.mark.skipif(not HAS, reason="MLflow is not installed: pip install '.[mlflow]'")


@needs_mlflow
def test_a_release_is_registered_once_with_its_weights_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.chdir(tmp_path)
    address = f"sqlite:///{tmp_path}/mlflow.db"
    folder = release(tmp_path, "v1.0.0", ENCODER)
    for _ in range(2):
        main(["track", str(folder), "--uri", address])
    client = mlflow.MlflowClient(address, address)
    (version,) = client.search_model_versions("name='soda-encoder'")
    assert version.tags["release"] == "v1.0.0"
    assert client.get_model_version_by_alias("soda-encoder", ALIAS).version == version.version
    brought = Path(mlflow.artifacts.download_artifacts(f"models:/soda-encoder@{ALIAS}", dst_path=str(tmp_path / "brought")))
    (file,) = brought.rglob("*.onnx")
    assert not [each for each in brought.rglob("*") if each.suffix in (".data", ".bin")]
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Encoder(file).embed(list(images)), Encoder(ENCODER).embed(list(images)))
    assert onnx.load(file).graph.initializer


@needs_mlflow
def test_what_is_not_whole_is_not_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = release(tmp_path, "v1.0.0", ENCODER)
    (folder / "encoder.onnx").write_bytes(b"another")
    with pytest.raises(ReleaseError, match=r"encoder\.onnx"):
        track(folder, f"sqlite:///{tmp_path}/mlflow.db")
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.skipif(HAS, reason="MLflow is installed")
def test_without_mlflow_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match=r"soda-encoder\[mlflow\]"):
        track(release(tmp_path, "v1.0.0", ENCODER), "sqlite:///x.db")
