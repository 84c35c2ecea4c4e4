"""The whole gallery of measures on a small model: which groups there are, that every number is one, and its figures."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from soda.config import Config
from soda.data.dataset import PreparedData
from soda.evaluation.baselines import initial_encoder
from soda.evaluation.factors import Factors
from soda.evaluation.gallery import measure_gallery
from soda.evaluation.gallery_scene import Subject
from soda.evaluation.latents import draw_sample, embed, frozen
from tests.conftest import make_config
from tests.data.prepared_factory import make_prepared
from tests.unit.test_gallery_measures import SHAPES, render, some_model

CPU = torch.device("cpu")
FEW = (
    "dataset.channels=3",
    "train.images=64",
    "diffusion.sampling_steps=2",
    "evaluate.batch_size=50",
    "evaluate.probe_l2=[0.01]",
    "evaluate.curve_images=8",
    "evaluate.exact_images=4",
    "evaluate.reader_images=640",
    "evaluate.mix_pairs=8",
    "evaluate.attribute_images=4",
    "evaluate.dci_images=60",
    "evaluate.vae_share=0.2",
)


def subject_of(config: Config, prepared: Path) -> tuple[Subject, dict[str, Any]]:
    data = PreparedData(prepared)
    samples = {name: draw_sample(data.split(name), 10_000, 0) for name in ("train", "val", "test")}
    model = some_model(config)
    latents = {name: embed(model.encoder, sample, batch_size=50, device=CPU) for name, sample in samples.items()}
    untrained = initial_encoder(config)
    subject = Subject(
        model=model,
        trained=config,
        latents=latents,
        samples=samples,
        network=untrained,
        network_name="the untrained encoder",
        untrained=untrained,
        device=CPU,
    )
    return subject, samples


def numbers(group: dict[str, Any], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for key, value in group.items():
        if isinstance(value, dict):
            found |= numbers(value, f"{prefix}{key}.")
        elif key != "notes" and not isinstance(value, str):
            found[f"{prefix}{key}"] = value
    return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Subject, Factors, Config]:
    config = make_config(*FEW)
    generator = np.random.default_rng(0)
    codes = {"colour": generator.integers(0, 3, 220), "shape": generator.integers(0, SHAPES, 220)}
    pixels = render(codes["colour"], codes["shape"])
    subject, samples = subject_of(config, make_prepared(tmp_path_factory.mktemp("data"), pixels=pixels, labels=None))
    start, of_split = 0, {}
    for name, sample in samples.items():  # the splits lie one after another
        of_split[name] = {key: values[start : start + len(sample)] for key, values in codes.items()}
        start += len(sample)
    names = {"colour": ["blue", "green", "red"], "shape": ["across", "cross", "down", "square"]}
    return subject, Factors(names, of_split), config


def test_all_groups_hold_finite_numbers_and_figures_and_the_weights_stay(
    scene: tuple[Subject, Factors, Config], tmp_path: Path
) -> None:
    subject, factors, config = scene
    with frozen(subject.model):
        found = measure_gallery(subject, factors, config.evaluate, tmp_path)
    assert list(found) == ["reconstruction", "interpolation", "sections", "mix", "attributes", "disentanglement"]
    assert {"exact_psnr", "lpips_like@10"} < set(found["reconstruction"])
    assert {"path_length", "path_length_crossfade"} < set(found["interpolation"])
    assert set(found["attributes"]["best_match"]) == {"colour", "shape"}
    assert {"direction", "score", "others"} < set(found["attributes"]["best_match"]["colour"])
    assert {"dci_d", "dci_c", "dci_i", "baselines"} < set(found["disentanglement"])
    assert set(found["disentanglement"]["baselines"]) == {"pca", "random", "beta_vae"}
    assert found["sections"]["by_factor"]["colour"]["pixels_linear_top1"] > 0.95  # colours are in the pixels
    for name, group in found.items():
        assert group["notes"], name
        assert all(math.isfinite(value) for value in numbers(group).values()), name
    drawn = {"reconstruction_cost", "section_factors", "attributes", "disentanglement"}
    if "style_accuracy" in found["mix"]:  # an untrained model's mixes need not have two sides
        drawn.add("mix")
    assert {path.stem for path in tmp_path.iterdir()} == drawn


def test_without_factors_there_are_reconstructions_and_walks(scene: tuple[Subject, Factors, Config], tmp_path: Path) -> None:
    subject, _, config = scene
    one, two = (measure_gallery(subject, None, config.evaluate, tmp_path) for _ in range(2))
    assert list(one) == ["reconstruction", "interpolation"]
    assert one == two
    assert {path.stem for path in tmp_path.iterdir()} == {"reconstruction_cost"}


def test_a_factor_that_does_not_exist_is_named(scene: tuple[Subject, Factors, Config], tmp_path: Path) -> None:
    subject, factors, config = scene
    settings = dataclasses.replace(config.evaluate, style_factor="hue")
    with pytest.raises(ValueError, match=r"evaluate.style_factor: 'hue' .* colour, shape"):
        measure_gallery(subject, factors, settings, tmp_path)
