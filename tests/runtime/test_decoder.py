"""denoiser.onnx and the runtime's decoder: the same pictures as torch draws, from the same noise, without torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from soda.diffusion.inversion import invert_exactly
from soda.export.denoiser import DeployedDenoiser, denoiser_to_onnx
from soda.export.describe import describe_denoiser, to_bytes
from soda.inference.drawer import Drawer, Sampling
from soda.model.network import SodaNetwork, build_model
from soda.runtime import Decoder, DecoderError
from soda.runtime.metadata import MetadataError, from_denoiser_props, to_props
from soda.runtime.session import is_damaged
from tests.support.settings import make_config

DIRECTIONS: list[dict[str, Any]] = [
    {"number": 0, "name": None, "vector": [0.5] + [0.0] * 15},
    {"number": 1, "name": "sleeves", "vector": [0.0] * 15 + [2.0]},
]


def drawn_model(*overrides: str) -> SodaNetwork:
    """A small model whose denoiser puts out something: its layers that begin at zero are filled."""
    torch.manual_seed(0)
    model = build_model(make_config("dataset.channels=1", *overrides)).eval().requires_grad_(False)
    for parameter in model.denoiser.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture(scope="module")
def model() -> SodaNetwork:
    return drawn_model("model.attention_levels=[2]", "model.head_dim=8")


def facts(model: SodaNetwork, **changes: Any) -> dict[str, Any]:
    common = {"format": 1, "latent_dim": 16, "image_size": 16, "channels": 1, "sections": model.sections}
    return {**common, **describe_denoiser(model, DIRECTIONS), **changes}


@pytest.fixture(scope="module")
def file(model: SodaNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("decoder") / "denoiser.onnx"
    path.write_bytes(to_bytes(denoiser_to_onnx(DeployedDenoiser(model).eval(), 18), facts(model)))
    return path


@pytest.fixture(scope="module")
def decoder(file: Path) -> Decoder:
    return Decoder(file, threads=1)


def inputs(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 16, generator=generator), torch.randn(count, 1, 16, 16, generator=generator)


@pytest.mark.parametrize("prediction", ["v", "eps", "x_0"])
def test_x_0_and_eps_come_out_whatever_the_network_predicts(prediction: str) -> None:
    model = drawn_model(f"diffusion.prediction={prediction}")
    z, x_t = inputs(5)
    t = torch.tensor([1, 2, 25, 49, 50])
    for found, wanted in zip(DeployedDenoiser(model)(x_t, t, z), model.predict(x_t, t, z), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("count", [1, 3, 17])
def test_the_graph_computes_what_torch_computes_for_every_batch(model: SodaNetwork, decoder: Decoder, count: int) -> None:
    z, x_t = inputs(count, seed=count)
    t = torch.arange(count) * 2 + 1
    for found, wanted in zip(decoder.predict(x_t.numpy(), t.numpy(), z.numpy()), model.predict(x_t, t, z), strict=True):
        np.testing.assert_allclose(found, wanted.numpy(), atol=5e-5)


@pytest.mark.parametrize("guidance", [None, 1.7, 0.0, [1, 2, 0.5, 1], {3: 3.0}])
@pytest.mark.parametrize("steps", [None, 1, 17])
def test_numpy_draws_what_torch_draws(model: SodaNetwork, decoder: Decoder, guidance: Any, steps: int | None) -> None:
    z, x_T = inputs(3)
    for clip in (True, False):
        asked = Sampling(steps=steps, guidance=guidance, sampler="ddim", eta=0.0, clip=clip)
        wanted = Drawer(model).draw(z, x_T, asked).numpy()
        found = decoder.sample(z.numpy(), x_T=x_T.numpy(), steps=steps, guidance=guidance, clip=clip, output="float")
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert wanted.std() > 0.1  # there is something to compare


def test_the_models_own_guidance_is_the_default(model: SodaNetwork, file: Path, tmp_path: Path) -> None:
    (tmp_path / "guided.onnx").write_bytes(to_bytes(onnx.load(file), facts(model, guidance_scale=2.0)))
    z, x_T = inputs(2)
    wanted = Drawer(model).draw(z, x_T, Sampling(sampler="ddim", eta=0.0, guidance=2.0)).numpy()
    found = Decoder(tmp_path / "guided.onnx", threads=1).sample(z.numpy(), x_T=x_T.numpy(), output="float")
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_file_with_an_older_list_of_times_is_sampled_at_those_of_its_table(
    decoder: Decoder, file: Path, model: SodaNetwork, tmp_path: Path
) -> None:
    old = tmp_path / "old.onnx"
    old.write_bytes(to_bytes(onnx.load(file), facts(model, timesteps=[50, 49, 48, 20, 10, 0])))
    z, x_T = (each.numpy() for each in inputs(2))
    assert Decoder(old, threads=1).timesteps() == decoder.timesteps() == model.schedule.sampling_times(5)
    np.testing.assert_array_equal(Decoder(old, threads=1).sample(z, x_T=x_T), decoder.sample(z, x_T=x_T))


def test_batches_do_not_change_the_pictures(file: Path, decoder: Decoder) -> None:
    z, _ = inputs(7)
    by_two = Decoder(file, threads=1, batch_size=2).sample(z.numpy(), seed=3, output="float")
    np.testing.assert_allclose(decoder.sample(z.numpy(), seed=3, output="float"), by_two, atol=1e-5)
    assert np.abs(decoder.sample(z.numpy(), seed=4, output="float") - by_two).max() > 0.01


def test_inverted_noise_draws_the_picture_again(model: SodaNetwork, decoder: Decoder) -> None:
    z, x_T = inputs(3)
    pictures = Drawer(model).draw(z, x_T, exact=True).numpy()
    start = decoder.invert(pictures, z.numpy(), steps=25, rounds=4)
    again = decoder.sample(z.numpy(), x_T=start, steps=25, clip=False, output="float")
    exact = invert_exactly(model.denoise_with(z), torch.from_numpy(pictures), model.schedule, 25).numpy()
    assert np.abs(again - pictures).mean() < 0.02
    assert np.abs(start - exact).mean() < 0.1 * exact.std()


def test_pictures_come_as_they_are_wanted(decoder: Decoder) -> None:
    z = inputs(2)[0].numpy()
    floats = decoder.sample(z, output="float")
    array = decoder.sample(z)
    assert floats.shape == (2, 1, 16, 16) and array.shape == (2, 16, 16, 1) and array.dtype == np.uint8
    assert np.abs(array.transpose(0, 3, 1, 2) / 127.5 - 1 - floats).max() <= 1 / 255 + 1e-6
    image = decoder.sample(z[1], seed=0, output="pil")
    assert isinstance(image, Image.Image) and image.size == (16, 16) and image.mode == "L"


def test_weights_may_be_of_numpy(decoder: Decoder) -> None:
    z = np.random.default_rng(0).standard_normal((1, 16), np.float32)
    drawn = decoder.sample(z, guidance=[1.0, 2.0, 1.0, 0.5], steps=2)
    for weights in (np.asarray([1.0, 2.0, 1.0, 0.5]), {np.int64(1): np.float32(2), 3: 0.5}):
        np.testing.assert_array_equal(decoder.sample(z, guidance=weights, steps=2), drawn)


def test_a_latent_moves_along_a_direction_by_number_or_name(decoder: Decoder) -> None:
    z = np.zeros((2, 16), np.float32)
    moved = decoder.edit(z, {0: 2, "sleeves": -1.5})
    assert moved[:, 0].tolist() == [1.0, 1.0] and moved[:, 15].tolist() == [-3.0, -3.0] and not moved[:, 1:15].any()
    assert decoder.edit(z[0], {"1": np.float32(1)})[15] == 2.0
    for shape in ((2, 1), (2, 3), (2, 2, 16)):
        with pytest.raises(ValueError, match=re.escape(f"z has shape {shape}")):
            decoder.edit(np.zeros(shape, np.float32), {0: 1})
    with pytest.raises(ValueError, match="is too far"):
        decoder.edit(z, {"sleeves": 3e38})
    for amounts, says in (
        ({"hat": 1}, "'hat' does not exist; .* 0, 1, sleeves"),
        ({2: 1}, "2 does not exist"),
        ({0: np.nan}, "nan"),
    ):
        with pytest.raises(ValueError, match=says):
            decoder.edit(z, amounts)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"z": np.zeros((2, 15))}, r"\(2, 15\); this model takes \(N, 16\)"),
        ({"z": np.zeros((0, 16))}, r"\(0, 16\)"),
        ({"z": np.full((1, 16), np.nan)}, "z holds values that are not finite"),
        ({"x_T": np.zeros((2, 1, 1, 16, 16))}, r"x_T has shape \(2, 1, 1, 16, 16\)"),
        ({"guidance": {True: 1}}, "section True does not exist"),
        ({"guidance": 1e39}, r"1e\+39 is not possible"),
        ({"guidance": 10**400}, "is not possible"),
        ({"guidance": np.ones(3)}, "3 weights for the 4 sections"),
        (
            {"z": np.full((2, 16), 1e6), "guidance": 3e38, "steps": 1, "clip": False},
            r"denoiser\.onnx: the pictures that it drew hold values that are not finite",
        ),
        ({"x_T": np.zeros((1, 1, 8, 8))}, r"x_T has shape \(1, 1, 8, 8\); for these z it is \(2, 1, 16, 16\)"),
        ({"steps": 0}, "steps: 0"),
        ({"steps": 51}, "steps: 51 .* 1 to 50"),
        ({"guidance": [1, 2]}, "2 weights for the 4 sections"),
        ({"guidance": {4: 1}}, "section 4 does not exist"),
        ({"guidance": float("inf")}, "inf is not possible"),
        ({"guidance": "2"}, "weights|not possible"),
        ({"output": "png"}, "output: 'png'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(decoder: Decoder, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        decoder.sample(**{"z": np.zeros((2, 16), np.float32), **settings})


def test_the_file_says_how_to_sample(model: SodaNetwork, decoder: Decoder) -> None:
    said = decoder.metadata
    assert said["timesteps"] == model.schedule.sampling_times(5) and said["sampling_steps"] == 5
    assert said["alphas_cumprod"] == model.schedule.alphas_cumprod.tolist() and said["prediction"] == "v"
    assert len(said["alphas_cumprod"]) == said["num_timesteps"] + 1 == 51 and said["alphas_cumprod"][0] == 1
    assert (decoder.latent_dim, decoder.sections, decoder.picture_shape) == (16, 4, (1, 16, 16))
    assert decoder.directions == DIRECTIONS


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"alphas_cumprod": [1.0, 0.5]}, "alphas_cumprod is not a list of 51 numbers"),
        ({"alphas_cumprod": [1.0] * 51}, "alphas_cumprod is not a list of 51 numbers that fall"),
        ({"sampling_steps": 51}, "sampling_steps is 51"),
        ({"spacing": "even"}, "spacing is 'even'"),
        ({"guidance_scale": "x"}, "guidance_scale is 'x'"),
        ({"guidance_scale": 1e39}, "guidance_scale is 1e"),
        ({"directions": [{"vector": [1.0]}]}, "direction 0 is not 16 numbers"),
        ({"directions": 3}, "directions is not a list"),
        ({"num_timesteps": 0}, "num_timesteps is 0"),
    ],
)
def test_metadata_that_cannot_be_are_named(model: SodaNetwork, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(MetadataError, match=says):
        from_denoiser_props(to_props(facts(model, **changes)))


def test_a_file_that_is_no_denoiser_or_was_altered_is_named(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    content = file.read_bytes()
    assert not is_damaged(content)
    for place in (10, len(content) // 2, len(content) - 5):
        other.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(DecoderError, match=r"other\.onnx: damaged"):
            Decoder(other)
    graph = onnx.load(file)
    del graph.metadata_props[:]
    onnx.save(graph, other)
    with pytest.raises(DecoderError, match=r"no soda\.format, so it is not a denoiser"):
        Decoder(other)
    graph = onnx.load(file)
    graph.graph.output[0].name = "picture"
    graph.metadata_props.remove(next(entry for entry in graph.metadata_props if entry.key == "soda.sha256"))
    graph.graph.node.append(onnx.helper.make_node("Identity", ["x_0"], ["picture"]))
    onnx.save(graph, other)
    with pytest.raises(DecoderError, match=r"its outputs are .*picture"):
        Decoder(other)


def test_drawing_loads_no_torch(file: Path) -> None:
    code = (
        "import sys\nimport numpy as np\nfrom soda.runtime import Decoder\n"
        "picture = Decoder(sys.argv[1], threads=1).sample(np.zeros(16), steps=2)\n"
        "assert picture.shape == (16, 16, 1)\n"
        "assert not {'torch', 'onnx', 'pandas', 'scipy', 'yaml'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, file], check=True)
