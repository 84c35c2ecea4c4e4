"""Both outputs of encoder.onnx: what each is, who may ask for it, and which of them search takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from soda.cli import main
from soda.common.images import to_float
from soda.data.dataset import PreparedData
from soda.evaluation.registry import require_declared
from soda.export.describe import to_bytes
from soda.export.graph import DeployedEncoder
from soda.export.onnx import to_onnx
from soda.export.retrieval import choose_vectors
from soda.model.encoder import build_encoder, encode_with_features, last_layer
from soda.runtime import Encoder, EncoderError
from soda.vectors.store import read_origin, read_vectors
from tests.support.settings import ROOT, make_config
from tests.support.workspace import Workspace, noise, write_prepared


@pytest.mark.parametrize("overrides", [(), ("model.encoder=resnet18",), ("model.cameras.rays=true",)])
def test_features_are_what_the_last_layer_takes(overrides: tuple[str, ...]) -> None:
    config = make_config("dataset.channels=3", *overrides)
    encoder = build_encoder(config.model, image_size=16, channels=3).eval()
    images = torch.randn(3, 3, 16, 16)
    seen = []
    last_layer(encoder).register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    z, features = encode_with_features(encoder, images)
    wanted = encoder(images)
    torch.testing.assert_close(z, wanted)
    torch.testing.assert_close(features, seen[1])


def test_the_file_gives_both_and_they_are_the_models(workspace: Workspace) -> None:
    images = workspace.data.split("test").gather(np.arange(20))
    z, features = (each.detach().numpy() for each in encode_with_features(workspace.model.encoder, to_float(images)))
    one, other = Encoder(workspace.encoder), Encoder(workspace.encoder, output="features")
    assert (one.output, one.width, other.output, other.width) == ("z", 16, "features", features.shape[1])
    np.testing.assert_allclose(one.embed(images), z, atol=1e-5)
    np.testing.assert_allclose(other.embed(images), features, atol=1e-5)
    train = encode_with_features(workspace.model.encoder, to_float(workspace.data.split("train").gather(np.arange(60))))[1]
    np.testing.assert_allclose(other.mean, train.numpy().mean(0), atol=1e-5)
    assert other.std.min() >= 0.0999 * other.std.max() and not np.array_equal(one.std, other.std)
    lengths = np.linalg.norm(other.embed(images, normalize="stats+l2"), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_features_cost_no_weights(workspace: Workspace, tmp_path: Path) -> None:
    module = DeployedEncoder(workspace.model.encoder, image_size=16, channels=1, resize="crop").eval()
    without = {key: value for key, value in Encoder(workspace.encoder).metadata.items() if "features" not in f"{key}{value}"}
    plain = tmp_path / "encoder.onnx"
    plain.write_bytes(to_bytes(to_onnx(module, workspace.config.export.opset), without | {"search_vectors": "z"}))
    assert onnx.load(plain).graph.initializer.__len__() == onnx.load(workspace.encoder).graph.initializer.__len__()
    described = len(json.dumps(Encoder(workspace.encoder).metadata))
    assert workspace.encoder.stat().st_size - plain.stat().st_size < described  # statistics and names alone
    with pytest.raises(EncoderError, match=r"encoder\.onnx: it has no output features, only z; export .*export\.features=true"):
        Encoder(plain, output="features")
    assert Encoder(plain, output="search").output == "z"
    np.testing.assert_allclose(
        Encoder(plain).run(noise(2, 16, 16, 3)), Encoder(workspace.encoder).run(noise(2, 16, 16, 3)), atol=1e-6
    )


def test_files_from_before_are_read_and_have_z_alone() -> None:
    old = Encoder(ROOT / "zoo/fashion_mnist/encoder.onnx", output="search")
    if "features_dim" in old.metadata:
        pytest.skip("the shipped model was exported again, with features")
    assert old.output == "z" and list(old.widths) == ["z"]
    with pytest.raises(EncoderError, match="no output features"):
        Encoder(old.path, output="features")
    with pytest.raises(ValueError, match=r"output: 'w'"):
        Encoder(old.path, output="w")


@pytest.mark.parametrize("name", ["encoder.int8.onnx", "encoder.fp16.onnx"])
def test_smaller_encoders_give_both_too(workspace: Workspace, name: str) -> None:
    smaller, source = (Encoder(path, output="features") for path in (workspace.variants / name, workspace.encoder))
    a, b = (each.run(noise(5, 16, 16, 3)) for each in (smaller, source))
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosines.min() > 0.95 and not np.array_equal(a, b)
    about = json.loads((workspace.variants / "variants.json").read_text())["variants"][name]
    assert about["features_mean_cosine"] >= about["features_min_cosine"] > 0.9


def test_the_parity_of_both_is_in_the_figures(workspace: Workspace) -> None:
    said = json.loads(workspace.metrics.read_text())["export"]
    require_declared({"export": said, "train": {"teacher_cosine": 0.5}})
    assert said["features_max_abs_diff"] < 1e-3 and said["features_mean_cosine"] > 0.999999
    assert said["search_by_labels"] is True and 0 <= said["search_z"] <= 1
    better = "features" if said["search_features"] > said["search_z"] else "z"
    assert better == Encoder(workspace.encoder).metadata["search_vectors"]


class Told(Encoder):
    """An encoder one of whose outputs is noise: it finds nothing by it."""

    useless = "z"

    def run_outputs(self, images: np.ndarray, outputs: Any) -> list[np.ndarray]:
        found = super().run_outputs(images, outputs)
        rng = np.random.default_rng(images.astype(np.int64).sum())
        return [
            rng.normal(size=v.shape).astype(np.float32) if n == self.useless else v for n, v in zip(outputs, found, strict=True)
        ]


@pytest.mark.parametrize("useless", ["z", "features"])
@pytest.mark.parametrize("labels", [(), ("dark", "light")])
def test_search_takes_what_finds_better(workspace: Workspace, tmp_path: Path, useless: str, labels: tuple[str, ...]) -> None:
    """Pictures are flat, dark or light ones by turns, so that labels and copies can be told by them."""
    write_prepared(tmp_path / "p", size=16, channels=1, labels=labels)
    shard = tmp_path / "p/shards/00000.npy"
    grey = np.arange(110) % 2 * 150 + 50 + np.linspace(-45, 45, 110)
    np.save(shard, (np.load(shard) // 16 + grey[:, None, None, None]).astype(np.uint8))
    encoder = Told(workspace.encoder)
    encoder.useless = useless
    chosen, figures = choose_vectors(encoder, PreparedData(tmp_path / "p"))
    assert chosen != useless and figures["search_by_labels"] == bool(labels)
    assert figures[f"search_{chosen}"] > figures[f"search_{useless}"]


def test_tables_hold_either_and_search_goes_by_the_table(workspace: Workspace, tmp_path: Path, capsys: Any) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(6):
        Image.fromarray(noise(16, 16, 3, seed=i)).save(pictures / f"{i}.png")
    table = str(tmp_path / "v.npz")
    encoder = ["--encoder", str(workspace.encoder)]
    main(["embed", str(pictures), "-o", table, "--vectors", "features", *encoder])
    features = Encoder(workspace.encoder, output="features")
    assert read_origin(Path(table)).vectors == "features" and read_vectors(Path(table)).z.shape == (6, features.width)
    main(["search", table, str(pictures / "3.png"), "-k", "1", "-o", str(tmp_path / "s.html"), *encoder])
    assert capsys.readouterr().out.splitlines()[-1].split("\t")[0::2] == ["1.0000", "3.png"]
    main(["outliers", str(pictures), "--vectors", "features", "-n", "2", "-o", str(tmp_path / "o.html"), *encoder])
    by_folder = capsys.readouterr().out
    main(["outliers", table, "-n", "2", "-o", str(tmp_path / "o.html"), *encoder])
    assert capsys.readouterr().out == by_folder
    with pytest.raises(SystemExit):
        main(["search", table, str(pictures / "3.png"), "--vectors", "z", *encoder])
    assert "v.npz: it holds features, not z" in capsys.readouterr().err
