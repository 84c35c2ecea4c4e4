"""Measures of what a model can draw, on a small world: its renderer obeys z, so that every right answer is known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from soda.common.images import to_float
from soda.config import Config
from soda.data.dataset import PreparedData
from soda.evaluation.attributes import Responses, best_directions, best_match, random_steps, responses
from soda.evaluation.baselines import initial_encoder
from soda.evaluation.beta_vae import BetaVAE, images_of_equal_compute, train_beta_vae
from soda.evaluation.factor_reader import FactorReader, Reading, accuracy, read, train_reader
from soda.evaluation.factors import Factors
from soda.evaluation.interpolation import path_length
from soda.evaluation.kept import Keeping
from soda.evaluation.latents import draw_sample, embed, weights_hash
from soda.evaluation.metrics import FixedNetwork
from soda.evaluation.mixing import (
    Mixer,
    Roles,
    choose,
    draw_pairs,
    measure_mixes,
    retrieve_by_factors,
    retrieve_held_out,
    roles_seen,
    shown,
    style_of,
)
from soda.evaluation.reconstruct import Judge
from soda.evaluation.reconstruction_cost import exact_cost, stochastic_cost
from soda.evaluation.sections import cuts, describe_cut, section_probes
from soda.inference.soda import SODA
from soda.model.network import SodaNetwork, build_model
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config

CPU = torch.device("cpu")
COLOURS = np.array([[230, 40, 40], [40, 220, 60], [60, 80, 240]])
SHAPES = 4  # bars across, bars down, a square, a cross
SIZE = 16


def render(colour: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Pictures (N, 16, 16, 3) uint8 of a shape in a colour on grey."""
    masks = np.zeros((SHAPES, SIZE, SIZE), bool)
    masks[0, 6:10] = masks[1, :, 6:10] = masks[2, 3:13, 3:13] = True
    masks[3] = masks[0] | masks[1]
    out = np.full((len(colour), SIZE, SIZE, 3), 90, np.uint8)
    for i, (c, s) in enumerate(zip(colour, shape, strict=True)):
        out[i][masks[s]] = COLOURS[c]
    return out


def z_of(colour: np.ndarray, shape: np.ndarray, seed: int = 0) -> Tensor:
    """Latents (N, 16) in 4 sections: the colour in the finest, the shape in the coarsest, nothing between."""
    generator = np.random.default_rng(seed)
    z = 0.05 * generator.standard_normal((len(colour), 16))
    z[:, 0] += colour - 1.0
    z[:, 12] += shape - 1.5
    return torch.from_numpy(z).float()


def drawn(z: Tensor) -> np.ndarray:
    """The renderer that a perfect decoder would be."""
    colour = (z[:, 0].numpy() + 1).round().clip(0, 2).astype(int)
    shape = (z[:, 12].numpy() + 1.5).round().clip(0, 3).astype(int)
    return render(colour, shape)


class Eyes(FactorReader):
    """Reads this world's pictures without error: by the mean colour of the shape and by the number of its pixels."""

    def __init__(self) -> None:
        super().__init__(channels=3, image_size=SIZE, values={"colour": 3, "shape": SHAPES}, embeds=True)
        self.eval()

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor | None]:
        known = to_float(render(np.zeros(SHAPES, int), np.arange(SHAPES)))[:, 0] > 0  # (4, S, S) masks
        lit = (images - (90 / 127.5 - 1)).abs().amax(1) > 0.05
        shape = (lit[:, None] == known[None]).float().mean((2, 3))  # (B, 4)
        tint = torch.stack([images[i][:, lit[i]].mean(1) for i in range(len(images))])
        wanted = torch.from_numpy(COLOURS / 127.5 - 1).float()
        colour = -(tint[:, None] - wanted[None]).square().sum(2)
        return [50 * colour, 200 * shape], torch.nn.functional.one_hot(shape.argmax(1), SHAPES).float()


@pytest.fixture(scope="module")
def world() -> dict[str, Any]:
    generator = np.random.default_rng(1)
    codes = {
        split: {"colour": generator.integers(0, 3, n), "shape": generator.integers(0, SHAPES, n)}
        for split, n in (("train", 240), ("val", 80), ("test", 80))
    }
    z = {split: z_of(c["colour"], c["shape"], seed=i) for i, (split, c) in enumerate(codes.items())}
    names = {"colour": ["blue", "green", "red"], "shape": ["across", "cross", "down", "square"]}
    return {"factors": Factors(names, codes), "z": z}


def mixer(world: dict[str, Any], split: str) -> Mixer:
    codes, z = world["factors"].codes[split], world["z"][split]
    eyes = Eyes()
    return Mixer(z, codes, read(eyes, drawn(z)), drawn, eyes, sections=4)


# Factors


def test_which_factors_can_be_learnt_and_which_are_held_out() -> None:
    generator = np.random.default_rng(0)
    train = {"style": generator.integers(0, 2, 200), "code": np.arange(200) // 4, "rare": np.zeros(200, np.int64)}
    test = {"style": generator.integers(0, 2, 40), "code": 60 + np.arange(40) // 4, "rare": np.zeros(40, np.int64)}
    train["rare"][0] = 1
    names = {"style": ["a", "b"], "code": [f"c{i:03}" for i in range(80)], "rare": ["no", "yes"]}
    factors = Factors(names, {"train": train, "val": {k: v[:0] for k, v in test.items()}, "test": test})
    assert factors.learnable == ["style"]
    assert factors.held_out == ["code"]
    assert style_of(train, "code", ["style"]) == ("style",)
    assert style_of({"code": np.arange(200) // 4, "style": np.arange(200) // 100}, "code", ["style"]) == ()
    assert factors.majority("rare") == 1
    only = factors.only(["style"], {"train": np.array([3, 5]), "test": np.array([1])})
    assert only.codes["train"]["style"].tolist() == train["style"][[3, 5]].tolist()
    with pytest.raises(ValueError, match="differ in length"):
        Factors({"a": ["x"], "b": ["y"]}, {"train": {"a": np.zeros(2, int), "b": np.zeros(3, int)}})


# Sections and mixes


def test_cuts_are_the_ways_to_part_fine_from_coarse() -> None:
    assert cuts(3) == [(0,), (0, 1), (2,), (1, 2)]
    assert describe_cut((0, 1), 3) == "the 2 finest of 3 sections"


def test_probes_find_each_factor_in_its_own_section(world: dict[str, Any]) -> None:
    found = section_probes(world["z"], world["factors"], ["colour", "shape"], 4, (1e-3,))
    assert found.by_section[0, 0] == found.by_section[3, 1] == 1
    assert (found.whole == 1).all()
    others = [found.by_section[k, 0] for k in (1, 2, 3)] + [found.by_section[k, 1] for k in (0, 1, 2)]
    assert max(others) < 0.6
    assert found.lift[0].tolist() == [1, found.lift[0, 1]]


def test_the_cut_that_separates_is_found_and_its_mixes_are_right(world: dict[str, Any]) -> None:
    for roles in (None, Roles(("colour",), ("shape",), held_out=True)):
        choice = choose(mixer(world, "val"), 40, 0, roles)
        assert choice is not None
        given, kept = ("colour", "shape") if 0 in choice.chosen else ("shape", "colour")
        assert choice.roles.style == (given,)
        assert choice.roles.content == (kept,)
        scores = measure_mixes(mixer(world, "test"), choice, 60, 0)
        assert scores["mixed"].style == scores["mixed"].retrieval == 1
        assert 0.05 < scores["mixed"].chance < 0.5
        assert scores["content alone"].style == 0
        assert scores["style alone"].retrieval < 0.6
        assert scores["mixed"].by_factor[given] == (1, 0)


def test_a_factor_is_a_sides_when_more_mixes_show_it_than_chance_explains() -> None:
    a = {name: np.zeros(40, np.int64) for name in ("plain", "even", "faint", "other")}
    b = {name: np.ones(40, np.int64) for name in a}

    def reads(of_a: int) -> np.ndarray:  # so many mixes show A's value, the others B's
        return np.repeat([[0.9, 0.1], [0.1, 0.9]], [of_a, 40 - of_a], axis=0)

    reading = Reading({"plain": reads(36), "even": reads(20), "faint": reads(22), "other": reads(6)}, None)
    # 22 against 18: 4 ahead, the standard error is the root of 40.
    assert roles_seen(reading, a, b) == Roles(("plain",), ("other",), held_out=False)
    assert roles_seen(reading, a, b, errors=0) == Roles(("plain", "faint"), ("other",), held_out=False)
    only = Reading({"plain": reads(36), "faint": reads(18)}, None)
    assert roles_seen(only, a, b) is None


def test_a_decoder_that_ignores_z_mixes_nothing(world: dict[str, Any]) -> None:
    still = dataclasses.replace(mixer(world, "val"), draw=lambda z: render(np.zeros(len(z), int), np.zeros(len(z), int)))
    roles = Roles(("colour",), ("shape",), held_out=True)
    a, b = draw_pairs(still.codes, ("colour", "shape"), 60, 0)
    score = still.score(still.read_mixes((0,), a, b), a, b, roles)
    assert score.style < 0.6
    assert score.retrieval < score.chance + 0.25


def test_pairs_differ_in_what_is_asked(world: dict[str, Any]) -> None:
    codes = world["factors"].codes["test"]
    a, b = draw_pairs(codes, ("colour", "shape"), 50, 0)
    assert len(a) == 50
    assert all((codes[name][a] != codes[name][b]).all() for name in codes)
    assert len(draw_pairs({"same": np.zeros(9, int)}, ("same",), 5, 0)[0]) == 0


def test_retrieval_worked_out_by_hand() -> None:
    # Two candidates of style 0 and one of style 1; the query of style 1 has nothing of its content to find and is left out.
    candidates = np.array([[1.0, 0], [0, 1.0], [1.0, 0]])
    contents, styles = np.array([7, 8, 9]), np.array([0, 0, 1])
    queries = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
    found = retrieve_held_out(queries, np.array([7, 8, 8]), np.array([0, 0, 1]), candidates, contents, styles)
    assert found == (0.5, 0.5)

    chances = np.array([[0.8, 0.2], [0.8, 0.2]])
    wanted, others = {"f": np.array([0, 1])}, {"f": np.array([1, 0])}
    assert retrieve_by_factors(Reading({"f": chances}, None), ("f",), wanted, others) == (0.5, 0.5)
    assert shown(Reading({"f": chances}, None), wanted, others) == {"f": (0.5, 0.5)}
    same = retrieve_by_factors(Reading({"f": chances}, None), ("f",), wanted, wanted)
    assert all(math.isnan(value) for value in same)  # nothing to tell apart


# The reader


def test_the_reader_learns_factors_and_recognises_content_that_it_never_saw(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    patterns = generator.integers(0, 2, (60, 4, 4))  # contents; the last 12 are held out
    content, style = np.repeat(np.arange(60), 3), np.tile(np.arange(3), 60)
    pictures = np.kron(patterns[content], np.ones((4, 4), int))[..., None] * COLOURS[style][:, None, None]
    pixels = (pictures + generator.integers(0, 20, pictures.shape)).clip(0, 255).astype(np.uint8)
    data = PreparedData(make_prepared(tmp_path, pixels=pixels, labels=None, splits=(0.0, 0.2)))
    train, held = draw_sample(data.split("train"), 1000, 0), slice(144, 180)
    codes = {"style": style[:144], "code": content[:144]}
    settings: dict[str, Any] = {"content": "code", "images": 6400, "seed": 0, "device": CPU}
    reader = train_reader(train, codes, {"style": 3}, **settings)
    reading = read(reader, pixels[held])
    assert accuracy(reading, {"style": style[held]}) == {"style": 1.0}
    assert reading.embedding is not None
    others = (style[held] + 1) % 3  # recognise a content by its pictures in another style
    right, chance = retrieve_held_out(reading.embedding, content[held], others, reading.embedding, content[held], style[held])
    assert chance == pytest.approx(1 / 12)
    assert right > 0.5
    with pytest.raises(ValueError, match="at least one factor"):
        train_reader(train, codes, {}, content=None, images=64, seed=0, device=CPU)


# Attributes


def test_every_factor_finds_its_direction_and_the_others_stay(world: dict[str, Any]) -> None:
    z, eyes = world["z"]["test"], Eyes()
    steps = torch.zeros(3, 16)
    steps[0, 5], steps[1, 12], steps[2, 0] = 1.0, 1.1, 0.8  # one that does nothing, shape, colour

    def respond(part: Tensor) -> Callable[[Tensor], Responses]:
        return lambda each: responses(part, each, drawn, lambda p: read(eyes, p).chances)

    best = best_match(steps, {"val": respond(z[:24]), "test": respond(z[24:48])})
    assert (best["colour"].direction, best["shape"].direction) == (2, 1)
    assert min(match.score for match in best.values()) > 0.9
    assert max(match.others for match in best.values()) == 0
    seen = respond(z[:24])(steps)
    assert np.allclose(seen.shift[0], 0, atol=1e-6)
    assert best_directions(seen) == {"colour": 2, "shape": 1}
    stuck = best_match(steps, {"val": respond(z[:24]), "test": respond(z[24:48] + 10)})  # the figures are of the test pictures
    assert stuck["shape"].direction == 1
    assert stuck["shape"].score == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match=r"\(K, 16\)"):
        responses(z, steps[:, :4], drawn, lambda p: read(eyes, p).chances)


def test_random_steps_are_one_sigma_long(world: dict[str, Any]) -> None:
    z = world["z"]["train"]
    for step in random_steps(z, 5, seed=0):
        along = (z - z.mean(0)) @ (step / step.norm())
        assert float(along.std()) == pytest.approx(float(step.norm()), rel=0.02)


# Walks


def test_path_length_is_nought_for_a_still_picture_and_grows_with_jumps() -> None:
    network = FixedNetwork(initial_encoder(make_config("dataset.channels=3")))
    z = torch.linspace(-1, 1, 12)[:, None] * torch.ones(12, 4)
    base, other = (to_float(render(np.full(12, k), np.full(12, k + 1))) for k in (0, 1))

    def smooth(latents: Tensor) -> Tensor:
        return torch.lerp(base, other, latents[:, :1, None, None] / 2 + 0.5)

    def wild(latents: Tensor) -> Tensor:
        return torch.lerp(base, other, torch.sin(60 * latents[:, :1, None, None]) / 2 + 0.5)

    still, calm, rough = (path_length(z, base, draw, network, seed=0) for draw in (lambda _: base, smooth, wild))
    assert still.linear == still.spherical == 0
    assert calm.linear < 0.2 * rough.linear
    assert calm.walks == 12
    with pytest.raises(ValueError, match="two pictures"):
        path_length(z[:1], base[:1], smooth, network, seed=0)


# Reconstruction against evaluations


def some_model(config: Config) -> SODA:
    torch.manual_seed(0)
    model = build_model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return model


def test_costs_count_evaluations_and_a_perfect_inversion_is_exact() -> None:
    config = make_config("dataset.channels=3")
    model, pictures = some_model(config), render(np.arange(6) % 3, np.arange(6) % 4)
    judge = Judge(FixedNetwork(initial_encoder(config)), device=CPU, batch_size=4)
    with torch.no_grad():
        z = model.encode(to_float(pictures))
    seen: list[int] = []
    model.denoiser.register_forward_hook(lambda *_: seen.append(1))
    costs = stochastic_cost(model, z, pictures, judge, (2, 5), seed=0)
    assert [cost.evaluations for cost in costs.values()] == [2, 5]
    assert len(seen) == 2 * (2 + 5)  # two batches
    guided = SODA(
        model=config.model,
        diffusion=dataclasses.replace(config.diffusion, guidance_scale=2.0),
        image_size=16,
        channels=3,
    ).eval()
    seen.clear()
    guided.denoiser.register_forward_hook(lambda *_: seen.append(1))
    costs = stochastic_cost(guided, z, pictures, judge, (2, 5), seed=0)  # two evaluations a step
    assert [cost.evaluations for cost in costs.values()] == [2, 4]
    assert len(seen) == 2 * (2 + 4)

    few, many = exact_cost(model, z, pictures, judge, (5, 50)).values()
    assert (few.evaluations, many.evaluations) == (5 * 4, 50 * 4)  # three rounds a step there, one back
    assert many.psnr > max(few.psnr, 40)


def test_exact_reconstruction_is_measured_with_the_models_own_guidance() -> None:
    config = make_config("dataset.channels=3", "diffusion.guidance_scale=3")
    model, pictures = some_model(config), render(np.arange(4) % 3, np.arange(4))
    with torch.no_grad():  # z must count for more than in a model that is hardly shaken
        for parameter in model.denoiser.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    judge = Judge(FixedNetwork(initial_encoder(config)), device=CPU, batch_size=4)
    with torch.no_grad():
        z = model.encode(to_float(pictures))
    measured = exact_cost(model, z, pictures, judge, (5,))[5]
    facade = SodaNetwork(model, config, Path("nowhere"), output="array")
    again = judge.nearness(facade.reconstruct(pictures, exact=True, steps=5), pictures)
    assert measured.psnr == pytest.approx(float(again.psnr.mean()), abs=0.02)
    plain = judge.nearness(facade.reconstruct(pictures, exact=True, steps=5, guidance=1), pictures)
    assert abs(measured.psnr - float(plain.psnr.mean())) > 0.1
    assert measured.evaluations == 5 * 4 * 2


# The beta-VAE


def test_the_beta_vae_learns_resumes_to_the_same_weights_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config("dataset.channels=3", "train.images=640", "train.lr=0.003")
    generator = np.random.default_rng(0)
    pixels = render(generator.integers(0, 3, 100), generator.integers(0, 4, 100))
    train = draw_sample(PreparedData(make_prepared(tmp_path / "data", pixels=pixels)).split("train"), 100, 0)
    settings: dict[str, Any] = {"images": 640, "beta": 1.0, "device": CPU}
    straight = train_beta_vae(config, train, **settings)

    images = to_float(train.gather(np.arange(40)))
    z = embed(straight, train, batch_size=32, device=CPU).x
    assert z.shape == (len(train), 16)
    import soda.evaluation.beta_vae as module

    monkeypatch.setattr("soda.evaluation.kept.SAVE_EVERY", 5)
    keeping = Keeping(tmp_path / "runs", "data")
    optimise, steps = module._optimise, []

    def stopping(*args: Any) -> None:
        steps.append(1)
        if len(steps) == 13:
            raise KeyboardInterrupt
        optimise(*args)

    monkeypatch.setattr(module, "_optimise", stopping)
    with pytest.raises(KeyboardInterrupt):
        train_beta_vae(config, train, keeping=keeping, **settings)
    resumed = train_beta_vae(config, train, keeping=keeping, **settings)
    assert len(steps) == 13 + 10  # from the last save, at step 10 of 20
    assert weights_hash(resumed) == weights_hash(straight)
    steps.clear()
    kept = train_beta_vae(config, train, keeping=keeping, **settings)
    assert not steps
    assert weights_hash(kept) == weights_hash(straight)

    torch.manual_seed(0)
    fresh, trained = BetaVAE(config), BetaVAE(config)
    (checkpoint,) = (tmp_path / "runs").glob("*/checkpoint.pt")
    trained.load_state_dict(torch.load(checkpoint, weights_only=True)["model"])
    noise = torch.randn(40, 16)
    before, after = (float(network(images, noise, 1.0).detach()) for network in (fresh, trained))
    assert after < before - 0.02  # most of it is the entropy of grey pixels, which no training takes away
    assert float(trained(images, noise, 4.0).detach()) > after  # the divergence is a penalty


def test_equal_computation_is_counted_the_same_way_each_time() -> None:
    config = make_config("dataset.channels=3")
    seen = images_of_equal_compute(config)
    assert seen == images_of_equal_compute(config)
    assert seen > config.train.images  # one cheap decoder in place of a U-Net
    assert images_of_equal_compute(config, 0.5) == pytest.approx(seen / 2, rel=0.02)


def test_equal_computation_counts_every_view_that_training_encodes() -> None:
    plain, pair = make_config("dataset.channels=3"), make_config("dataset.channels=3", "views=content")
    one = images_of_equal_compute(plain)
    assert images_of_equal_compute(pair) == one  # one view is encoded, the other one denoised
    for more in ("views.pairs.sources=3", "views.pairs.style_sections=1"):
        assert images_of_equal_compute(make_config("dataset.channels=3", "views=content", more)) > 1.1 * one
