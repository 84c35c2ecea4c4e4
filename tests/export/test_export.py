"""The export: encoder.onnx computes what torch computes, on any batch and size, says what it is, and is refused otherwise."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, numpy_helper
from PIL import Image
from torch import Tensor, nn

from soda.common.images import to_float
from soda.export import ExportError, variants
from soda.export import onnx as stage
from soda.export.graph import DeployedEncoder
from soda.export.onnx import to_onnx
from soda.export.quantize import CANDIDATES, Settings, quantize
from soda.export.statistics import evenly_spaced, output_moments
from soda.export.variants import Judge
from soda.export.version import code_version
from soda.inference.drawer import Drawer, Sampling
from soda.model.encoder import build_encoder
from soda.runtime import Decoder, Encoder
from soda.runtime.preprocess import to_square
from tests.support.graphs import least_ir_version, turned_products
from tests.support.settings import make_config
from tests.support.workspace import EXPORT, Workspace, noise, write_prepared

SIZES = [(28, 28), (32, 32), (64, 48), (200, 300), (97, 31), (1, 1), (5, 9), (33, 500)]


class SmallResNet(nn.Module):
    """One residual block with BatchNorm whose statistics are not those of a fresh layer."""

    def __init__(self, channels: int, latent_dim: int = 6) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8))
        self.head = nn.Linear(8 * 16, latent_dim)
        with torch.no_grad():
            for _ in range(3):
                self(torch.randn(8, channels, 32, 32) * 3 + 1)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        h = F.relu(h + self.block(h))
        return self.head(F.adaptive_avg_pool2d(h, 4).flatten(1))


def small_module(*, channels: int = 3, resize: str = "crop", seed: int = 0) -> DeployedEncoder:
    torch.manual_seed(seed)
    return DeployedEncoder(SmallResNet(channels), image_size=32, channels=channels, resize=resize).eval()


def by_pillow(images: np.ndarray, module: DeployedEncoder) -> np.ndarray:
    squares = [to_square(Image.fromarray(p), module.image_size, channels=module.channels, resize=module.resize) for p in images]
    return np.stack(squares).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_graph_crops_resizes_and_greys_exactly_as_pillow_does(height: int, width: int, channels: int) -> None:
    module, images = small_module(channels=channels), noise(2, height, width, 3)
    np.testing.assert_array_equal(module.pixels(torch.from_numpy(images)).numpy(), by_pillow(images, module))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_stretching_stays_within_a_grey_level_of_pillow(height: int, width: int) -> None:
    module, images = small_module(resize="stretch"), noise(2, height, width, 3)
    found, wanted = module.pixels(torch.from_numpy(images)).numpy(), by_pillow(images, module)
    assert np.abs(found - wanted).max() <= 1
    if height <= width:
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (64, 64), (200, 200)])
def test_the_resize_is_the_antialiased_bilinear_one(height: int, width: int) -> None:
    module, images = small_module(), torch.from_numpy(noise(2, height, width, 3))
    wanted = F.interpolate(images.permute(0, 3, 1, 2).double(), (32, 32), mode="bilinear", antialias=True)
    assert (module.pixels(images) - wanted).abs().max() <= 1.01  # rounded after each axis


def test_a_picture_of_the_right_size_passes_unchanged() -> None:
    images = noise(2, 32, 32, 3)
    np.testing.assert_array_equal(small_module().pixels(torch.from_numpy(images)).numpy(), images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(("setting", "value"), [("channels", 2), ("resize", "fit")])
def test_impossible_settings_of_the_graph_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{setting}: {value!r}"):
        DeployedEncoder(nn.Identity(), **{"image_size": 32, "channels": 3, "resize": "crop", setting: value})


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    return to_onnx(small_module(channels=1), 18)


@pytest.mark.parametrize("batch", [1, 3, 17])
def test_onnx_equals_torch_for_every_batch_and_size(graph: onnx.ModelProto, batch: int) -> None:
    session, module = onnxruntime.InferenceSession(graph.SerializeToString()), small_module(channels=1)
    for height, width in SIZES:
        images = noise(batch, height, width, 3, seed=batch)
        (z,) = session.run(None, {"images": images})
        np.testing.assert_allclose(z, module(torch.from_numpy(images)).numpy(), atol=2e-5)


def test_the_graph_is_folded_free_in_every_size_and_without_notes_on_its_making(graph: onnx.ModelProto) -> None:
    (images,), (z,) = graph.graph.input, graph.graph.output
    assert images.name == "images" and images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    sides = images.type.tensor_type.shape.dim
    assert all(side.dim_param for side in sides[:3]) and len({side.dim_param for side in sides[:3]}) == 3
    assert sides[3].dim_value == 3 and z.type.tensor_type.shape.dim[1].dim_value == 6
    assert {entry.domain: entry.version for entry in graph.opset_import} == {"": 18}
    operators = {node.op_type for node in graph.graph.node}
    assert "BatchNormalization" not in operators and "Conv" in operators and not graph.functions
    assert not any(tensor.external_data for tensor in graph.graph.initializer)
    assert b".py" not in graph.SerializeToString()


def test_an_encoder_whose_z_is_its_map_is_exported_folded() -> None:
    config = make_config("model.encoder_head=map")
    encoder = build_encoder(config.model, image_size=16, channels=1)
    with torch.no_grad():
        for _ in range(3):
            encoder(torch.randn(8, 1, 16, 16) * 3 + 1)  # statistics that are not those of a fresh layer
    module = DeployedEncoder(encoder, image_size=16, channels=1, resize="crop").eval()
    made, images = to_onnx(module, 18), noise(3, 20, 31, 3, seed=0)
    assert "BatchNormalization" not in {node.op_type for node in made.graph.node}
    (z,) = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"images": images})
    assert z.shape == (3, 16) and z.any()
    with torch.no_grad():
        np.testing.assert_allclose(z, module(torch.from_numpy(images)).numpy(), atol=2e-5)


def test_old_runtimes_load_what_is_exported(graph: onnx.ModelProto, workspace: Workspace) -> None:
    """The oldest that is allowed itself is tried by `make test-oldest`."""
    assert not turned_products(graph)
    for path in (workspace.encoder, workspace.denoiser, *sorted(workspace.variants.glob("*.onnx"))):
        exported = onnx.load(path)
        assert exported.ir_version == least_ir_version(exported) == 8 and not turned_products(exported), path


def test_the_export_is_deterministic(graph: onnx.ModelProto) -> None:
    again = to_onnx(small_module(channels=1), 18)
    assert again.SerializeToString(deterministic=True) == graph.SerializeToString(deterministic=True)


def test_other_opsets_compute_the_same() -> None:
    module, images = small_module(resize="stretch"), noise(3, 40, 50, 3)
    graph = to_onnx(module, 21)
    assert graph.opset_import[0].version == 21
    (z,) = onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"images": images})
    np.testing.assert_allclose(z, module(torch.from_numpy(images)).numpy(), atol=2e-5)


def test_the_stage_writes_one_file_and_its_figures(workspace: Workspace) -> None:
    files = {"encoder.onnx", "denoiser.onnx", "encoder.int8.onnx", "encoder.fp16.onnx", "variants.json"}
    assert set(workspace.remains()) == files | {"export.json"}
    figures = json.loads(workspace.metrics.read_text())["export"]
    assert figures["max_abs_diff"] <= workspace.config.export.max_abs_diff
    assert 0.9999 < figures["min_cosine"] <= figures["mean_cosine"] <= 1.0001
    assert figures["bytes"] == workspace.encoder.stat().st_size and figures["parity_images"] == 24 + 4 * 4
    assert all(figures[f"{who}_ms_{batch}"] > 0 for who in ("torch", "onnx") for batch in (1, 64))


def test_the_file_says_what_it_is(workspace: Workspace) -> None:
    encoder, data = Encoder(workspace.encoder), workspace.data
    said = encoder.metadata
    assert (said["format"], said["latent_dim"], said["image_size"], said["channels"]) == (1, 16, 16, 1)
    assert (said["resize"], said["sections"]) == ("crop", workspace.model.sections)
    assert (said["dataset"], said["data_version"], said["labels"]) == ("folder", data.version, ["a", "b"])
    assert (said["data_licence"], said["data_source"]) == ("CC0-1.0", "drawn at random")
    assert said["probe"] == {"linear_top1": 0.86, "knn_k": 10} and said["code_version"]
    z = workspace.model.encode(to_float(data.split("train").gather(np.arange(60)))).numpy()
    assert said["z_pictures"] == 60
    np.testing.assert_allclose(encoder.mean, z.mean(0), atol=1e-5)
    np.testing.assert_allclose(encoder.std, z.std(0), rtol=1e-4)


def test_the_denoiser_brings_its_directions_and_draws_what_torch_draws(workspace: Workspace) -> None:
    decoder, model = Decoder(workspace.denoiser), workspace.model
    (plain, named), said = decoder.directions, json.loads(workspace.metrics.read_text())["export"]
    assert (plain["number"], plain["name"], plain["kind"], plain["vector"][3]) == (0, None, "pca", 0.5)
    assert (named["number"], named["name"], named["section"], named["vector"][9]) == (1, "sleeves", 2, 2.0)
    assert decoder.metadata["data_version"] == workspace.data.version and decoder.metadata["code_version"]
    assert said["decoder_images"] == 6 and said["decoder_max_abs_diff"] < 1e-4
    z = model.encode(to_float(workspace.data.split("test").gather(np.arange(4))))
    x_T = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    wanted = Drawer(model).draw(z, x_T, Sampling(sampler="ddim", eta=0.0)).numpy()
    np.testing.assert_allclose(decoder.sample(z.numpy(), x_T=x_T.numpy(), output="float"), wanted, atol=1e-4)


@pytest.mark.parametrize("name", ["encoder.int8.onnx", "encoder.fp16.onnx"])
def test_a_smaller_encoder_is_an_encoder_like_the_other(workspace: Workspace, name: str) -> None:
    path, listed = workspace.variants / name, json.loads((workspace.variants / "variants.json").read_text())
    about, source = listed["variants"][name], Encoder(workspace.encoder)
    smaller = Encoder(path)
    assert about["written"] and about["bytes"] == path.stat().st_size < source.path.stat().st_size
    same = {key: value for key, value in source.metadata.items() if key not in ("sha256", "precision")}
    assert {key: value for key, value in smaller.metadata.items() if key not in ("sha256", "precision")} == same
    assert smaller.metadata["precision"] == name.split(".")[1]
    for size in ((16, 16), (40, 23)):
        pictures = noise(5, *size, 3)
        a, b = smaller.run(pictures), source.run(pictures)
        cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert cosines.min() > 0.97 and not np.array_equal(a, b)
    assert about["mean_cosine"] > 0.97 and "probe_val_drop" in about


def test_the_preprocessing_of_the_8_bit_encoder_stays_exact(workspace: Workspace) -> None:
    """A grey level of difference reaches z: quantised, the picture at another size would be another picture."""
    graph = onnx.load(workspace.variants / "encoder.int8.onnx").graph
    first = next(i for i, node in enumerate(graph.node) if node.op_type == "Conv")
    operators = [node.op_type for node in graph.node]
    matrices = [i for i, kind in enumerate(operators) if kind == "MatMul"]
    assert len(matrices) == 2 and max(matrices) < first
    assert operators[: min(matrices)].count("QuantizeLinear") == 0
    weights = {t.name: t for t in graph.initializer if t.name.endswith("weight_quantized")}
    assert weights and all(t.data_type == TensorProto.INT8 for t in weights.values())
    assert all(np.abs(numpy_helper.to_array(t).astype(int)).max() <= 64 for t in weights.values())  # reduce_range


@pytest.mark.parametrize("count", [60, 20])  # not a multiple of a batch; less than one
def test_any_number_of_images_calibrates_an_8_bit_encoder(count: int, workspace: Workspace, tmp_path: Path) -> None:
    quantize(workspace.encoder, tmp_path / "small.onnx", workspace.data.split("train"), count, Settings("percentile"))
    assert (tmp_path / "small.onnx").stat().st_size < workspace.encoder.stat().st_size


def test_an_8_bit_encoder_that_loses_too_much_is_not_written(workspace: Workspace, tmp_path: Path, caplog: Any) -> None:
    config = replace(workspace.config.export, int8_max_drop=0.0, fp16=False)
    module = DeployedEncoder(workspace.model.encoder, image_size=16, channels=1, resize="crop", features=True).eval()

    class Worse(Judge):
        def probe(self, encoder: Encoder) -> float | None:
            return 0.9 if encoder.metadata["precision"] == "fp32" else 0.89

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "Judge", Worse)
        figures = variants.write_variants(config, module, workspace.encoder, workspace.data, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["variants.json"] and figures["int8_written"] is False
    about = json.loads((tmp_path / "variants.json").read_text())["variants"]["encoder.int8.onnx"]
    assert figures["notes"] == [f"There is no encoder.int8.onnx: {about['reason']}."]
    assert about["reason"].startswith("the probe falls from 0.9000 to 0.8900") and len(about["tried"]) == len(CANDIDATES)
    assert "no encoder.int8.onnx is written" in caplog.text


def test_the_nearest_8_bit_encoder_is_probed_first_and_if_it_passes_alone(workspace: Workspace, tmp_path: Path) -> None:
    module = DeployedEncoder(workspace.model.encoder, image_size=16, channels=1, resize="crop", features=True).eval()
    asked: list[str] = []

    class Counting(Judge):
        def probe(self, encoder: Encoder) -> float | None:
            asked.append(encoder.metadata["precision"])
            return 0.9

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "Judge", Counting)
        config = replace(workspace.config.export, fp16=False)
        variants.write_variants(config, module, workspace.encoder, workspace.data, tmp_path)
    about = json.loads((tmp_path / "variants.json").read_text())["variants"]["encoder.int8.onnx"]
    assert asked == ["fp32", "int8"]
    assert len(about["tried"]) == len(CANDIDATES) and about["settings"] == about["tried"][0]["settings"]
    assert [each["mean_cosine"] for each in about["tried"]] == sorted((e["mean_cosine"] for e in about["tried"]), reverse=True)
    assert ["probe_val_top1" in each for each in about["tried"]] == [True, False, False, False]


def test_the_runtime_gives_the_latents_of_the_trained_model(workspace: Workspace) -> None:
    pictures = workspace.data.split("test").gather(np.arange(30))
    wanted = workspace.model.encode(to_float(pictures)).numpy()
    np.testing.assert_allclose(Encoder(workspace.encoder).embed(pictures), wanted, atol=1e-5)


def test_a_large_picture_gets_one_vector_whoever_resizes_it(workspace: Workspace) -> None:
    encoder, picture = Encoder(workspace.encoder), noise(90, 133, 3)
    np.testing.assert_allclose(encoder.run(picture[None]), encoder.embed(picture), atol=1e-5)


def test_a_broken_export_is_refused_and_the_earlier_file_stays(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(module: DeployedEncoder, opset: int) -> onnx.ModelProto:
        graph = onnx.load(workspace.encoder)
        weights = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        values = numpy_helper.to_array(weights).copy()
        values *= 1.5
        weights.CopyFrom(numpy_helper.from_array(values, weights.name))
        return graph

    monkeypatch.setattr(stage, "to_onnx", broken)
    before = workspace.remains()
    with pytest.raises(ExportError, match=r"standard deviations .*test picture id-\d+ .*max_abs_diff allows 0\.001"):
        workspace.export()
    assert workspace.remains() == before


def test_a_graph_that_prepares_pictures_otherwise_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mirrored(DeployedEncoder):
        def pixels(self, images: Tensor) -> Tensor:
            return super().pixels(images.flip(2))

    monkeypatch.setattr(stage, "DeployedEncoder", Mirrored)
    monkeypatch.setattr(stage, "to_onnx", lambda module, opset: onnx.load(workspace.encoder))
    before = workspace.remains()
    with pytest.raises(ExportError, match=r"prepares test picture id-\d+ \(pictures/\d+\.png\) otherwise than Pillow"):
        workspace.export()
    assert workspace.remains() == before


def test_a_missing_or_foreign_evaluation_is_named(workspace: Workspace, tmp_path: Path) -> None:
    foreign = tmp_path / "evaluate.json"
    for content in (None, "{", "[]", '{"probe": 3}'):
        if content is not None:
            foreign.write_text(content)
        with pytest.raises(ExportError, match=r"evaluate\.json"):
            workspace.export(evaluation=foreign)


def test_data_of_another_size_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    write_prepared(tmp_path / "prepared", size=8, channels=3)
    with pytest.raises(ExportError, match=r"16 px and 1 channels, .* holds 8 px and 3"):
        workspace.export(prepared=tmp_path / "prepared")


def test_a_model_that_gives_no_numbers_is_refused(workspace: Workspace) -> None:
    def sound(images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))[:, None]

    for what, encode in (("z", lambda x: (sound(x) / 0, sound(x))), ("features", lambda x: (sound(x), sound(x) / 0))):
        with pytest.raises(ExportError, match=rf"{what} of picture id-0 \(pictures/0\.png\) is not finite"):
            output_moments(encode, workspace.data.split("train"))


def test_unlabelled_colour_data_of_two_pictures_exports(tmp_path: Path) -> None:
    made = Workspace(tmp_path / "w", make_config("dataset=folder", "dataset.path=x", "gate=folder", *EXPORT))
    write_prepared(tmp_path / "few", size=16, channels=3, train=1, val=0, test=1, labels=())
    made.evaluation.write_text("{}")
    figures = made.export(prepared=tmp_path / "few")["export"]
    assert figures["parity_images"] == 1 + 4
    encoder = Encoder(made.encoder)
    assert encoder.metadata["probe"] == {} and encoder.metadata["labels"] == []
    assert encoder.metadata["data_version"] == made.data.version  # what it was trained on
    assert (encoder.std == 1).all()
    listed = json.loads((made.variants / "variants.json").read_text())["variants"]
    assert not listed["encoder.int8.onnx"]["written"] and "no labels" in listed["encoder.int8.onnx"]["reason"]
    assert set(made.remains()) == {"encoder.onnx", "denoiser.onnx", "export.json", "variants.json"}
    z, picture = np.zeros((2, 16), np.float32), Decoder(made.denoiser).sample(np.zeros(16))
    assert Decoder(made.denoiser).directions == [] and picture.shape == (16, 16, 3)
    assert Decoder(made.denoiser).sample(z).shape == (2, 16, 16, 3)


def test_a_dead_component_is_not_blown_up(workspace: Workspace) -> None:
    def encode(images: Tensor) -> tuple[Tensor, Tensor]:
        level = images.mean((1, 2, 3))
        dead = torch.stack([level, torch.full_like(level, 3.0)], 1)
        return dead, dead

    z, features = output_moments(encode, workspace.data.split("train"))
    assert z.count == features.count == len(workspace.data.split("train"))
    for moments, floor in ((z, 1e-3), (features, 0.1)):
        mean, std = moments.statistics()
        assert mean[1] == 3 and std[1] == pytest.approx(floor * std[0])


@pytest.mark.parametrize(("count", "most"), [(0, 5), (1, 5), (5, 5), (7, 5), (54_000, 512), (10**9, 3)])
def test_a_sample_is_spread_over_the_whole(count: int, most: int) -> None:
    indices = evenly_spaced(count, most)
    assert len(indices) == len(set(indices.tolist())) == min(count, most)
    if count > most:
        gaps = np.diff(np.append(indices, count))
        assert indices[0] == 0 and gaps.max() - gaps.min() <= 1


def test_the_code_version_names_the_commit_and_whether_the_code_differs_from_it(tmp_path: Path) -> None:
    package = tmp_path / "src" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    assert "+" not in code_version(package)

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        return subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    (tmp_path / "other").touch()
    git("add", "other")
    git("commit", "-q", "-m", "not the package")
    assert "+" not in code_version(package)  # installed inside the checkout of something else
    git("add", ".")
    git("commit", "-q", "-m", "the package")
    commit = git("rev-parse", "--short=12", "HEAD").strip()
    (tmp_path / "report.json").touch()
    assert code_version(package).endswith(f"+{commit}")
    (package / "new.py").touch()
    assert code_version(package).endswith(f"+{commit}-dirty")
