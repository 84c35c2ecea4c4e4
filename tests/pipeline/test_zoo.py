"""Every shipped model: its files are whole, belong together, are small, and run wherever onnxruntime does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from soda.inference.directions import load_directions, weights_sha256
from soda.inference.drawer import Drawer, Sampling
from soda.runtime import Decoder, Encoder
from soda.training.checkpoint import load_model
from tests.support.graphs import least_ir_version, turned_products

ZOO = Path(__file__).parents[2] / "zoo"
MODELS = sorted(path for path in ZOO.iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", MODELS, ids=lambda path: path.name)
def test_its_onnx_files_compute_what_its_weights_do(folder: Path) -> None:
    network, config = load_model(folder)
    encoder, decoder = Encoder(folder / "encoder.onnx", threads=1), Decoder(folder / "denoiser.onnx", threads=1)
    shape = (4, network.channels, network.image_size, network.image_size)
    x_T = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    pixels = (x_T.clamp(-1, 1) * 127.5 + 127.5).round()
    rgb = pixels.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).to(torch.uint8).numpy()
    z = network.encode(pixels / 127.5 - 1)
    np.testing.assert_allclose(encoder.run(rgb) / encoder.std, z.numpy() / encoder.std, atol=config.export.max_abs_diff)
    for guidance, sections in ((1.0, {}), (1.5, {}), (network.diffusion.guidance_scale, {0: 2.0})):
        asked = Sampling(guidance=sections or guidance, sampler="ddim", eta=0.0)
        wanted = Drawer(network).draw(z, x_T, asked).numpy()
        drawn = decoder.sample(z.numpy(), x_T=x_T.numpy(), guidance=sections or guidance, output="float")
        np.testing.assert_allclose(drawn, wanted, atol=1e-4)


@pytest.mark.parametrize("folder", MODELS, ids=lambda path: path.name)
def test_its_files_are_small_and_of_operators_that_every_runtime_has(folder: Path) -> None:
    model = load_model(folder)[1].model
    lite = model.encoder == "efficientnet_lite0"  # many small layers, whose scales 8 bits keep
    assert sum(path.stat().st_size for path in folder.iterdir()) <= (15_000_000 if model.cameras.rays or lite else 10_000_000)
    small = folder / "encoder.int8.onnx"
    if small.exists():
        assert small.stat().st_size <= (0.35 if lite else 0.3) * (folder / "encoder.onnx").stat().st_size
    for path in folder.glob("*.onnx"):
        graph = onnx.load(path)
        assert [(entry.domain, entry.version) for entry in graph.opset_import if entry.domain not in ("", "ai.onnx")] == []
        assert {node.domain for node in graph.graph.node} <= {"", "ai.onnx"}
        assert graph.ir_version == least_ir_version(graph) and not turned_products(graph)
        assert not any(tensor.external_data for tensor in graph.graph.initializer)


@pytest.mark.parametrize("folder", MODELS, ids=lambda path: path.name)
def test_the_denoiser_brings_the_directions_of_the_folder(folder: Path) -> None:
    decoder, file = Decoder(folder / "denoiser.onnx", threads=1), folder / "model.directions.safetensors"
    if not file.exists():
        assert decoder.directions == []
        return
    found = load_directions(file, model=weights_sha256(folder), latent_dim=decoder.latent_dim)
    for each in decoder.directions:
        item = found[each["number"]]
        np.testing.assert_allclose(each["vector"], item.vector.numpy() * item.sigma, rtol=1e-5, atol=1e-6)
        assert (each["name"], each["kind"], each["section"]) == (item.name, item.kind, item.section)
