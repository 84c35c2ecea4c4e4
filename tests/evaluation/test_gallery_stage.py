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
from soda.evaluation.gallery import measured_factors
from soda.evaluation.gallery_run import run_gallery
from soda.evaluation.gallery_scene import Subject
from soda.evaluation.latents import draw_sample, embed, frozen
from soda.training.checkpoint import save_model
from tests.evaluation.test_gallery_measures import SHAPES, render, some_model
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config

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


Scene = tuple[Subject, Factors, Config]


def scene_of(folder: Path, *overrides: str) -> Scene:
    config = make_config(*FEW, *overrides)
    generator = np.random.default_rng(0)
    codes = {"colour": generator.integers(0, 3, 220), "shape": generator.integers(0, SHAPES, 220)}
    pixels = render(codes["colour"], codes["shape"])
    subject, samples = subject_of(config, make_prepared(folder / "data", pixels=pixels, labels=None))
    start, of_split = 0, {}
    for name, sample in samples.items():  # the splits lie one after another
        of_split[name] = {key: values[start : start + len(sample)] for key, values in codes.items()}
        start += len(sample)
    names = {"colour": ["blue", "green", "red"], "shape": ["across", "cross", "down", "square"]}
    return subject, Factors(names, of_split), config


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return scene_of(tmp_path_factory.mktemp("scene"))


def measure(scene: Scene, folder: Path, **settings: Any) -> dict[str, Any]:
    """What the evaluation stage asks for, of a model as the train stage leaves it. Figures go into folder/figures."""
    subject, factors, config = scene
    save_model(folder / "model", subject.model, config, data_version="v", images=1)
    (folder / "figures").mkdir()
    evaluate = dataclasses.replace(config.evaluate, **settings)
    return run_gallery(folder / "model", subject, factors, evaluate, folder / "figures")[0]


def test_all_groups_hold_finite_numbers_and_figures_and_the_weights_stay(scene: Scene, tmp_path: Path) -> None:
    with frozen(scene[0].model):
        found = measure(scene, tmp_path)
    assert list(found) == ["reconstruction", "interpolation", "sections", "mix", "attributes", "disentanglement"]
    assert {"exact_psnr", "lpips_like@10"} < set(found["reconstruction"])
    assert {"path_length", "path_length_crossfade"} < set(found["interpolation"])
    assert set(found["attributes"]["best_match"]) == {"colour", "shape"}
    assert {"direction", "score", "others"} < set(found["attributes"]["best_match"]["colour"])
    assert "as many directions drawn at random" in found["attributes"]["notes"][0]
    assert {"dci_d", "dci_c", "dci_i", "baselines"} < set(found["disentanglement"])
    assert set(found["disentanglement"]["baselines"]) == {"pca", "random", "beta_vae"}
    assert found["sections"]["by_factor"]["colour"]["pixels_linear_top1"] > 0.95  # colours are in the pixels
    for name, group in found.items():
        assert group["notes"], name
        assert all(math.isfinite(value) for value in numbers(group).values()), name
    drawn = {"reconstruction_cost", "section_factors", "attributes", "disentanglement", "walks", "mix_cuts", "directions"}
    if "style_accuracy" in found["mix"]:  # an untrained model's mixes need not have two sides
        drawn.add("mix")
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == drawn


def test_without_factors_there_are_reconstructions_and_walks(scene: Scene, tmp_path: Path) -> None:
    subject, _, config = scene
    folders = [tmp_path / "one", tmp_path / "two"]
    one, two = (measure((subject, None, config), folder) for folder in folders)  # type: ignore[arg-type]
    assert list(one) == ["reconstruction", "interpolation"]
    assert one == two
    figures = {path.stem for path in (tmp_path / "one/figures").iterdir()}
    assert figures == {"reconstruction_cost", "walks", "mix_cuts", "directions"}


def test_factors_that_the_settings_name_are_measured_or_refused(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"evaluate.style_factor: 'hue' .* colour, shape"):
        measure(scene, tmp_path / "hue", style_factor="hue")
    with pytest.raises(ValueError, match=r"evaluate.style_factor: 'colour' alone .* set evaluate.content_factor"):
        measure(scene, tmp_path / "alone", style_factor="colour")
    _, factors, config = scene
    (rarest,) = set(factors.names) - set(factors.commonest(factors.learnable, 1))
    one = dataclasses.replace(config.evaluate, max_factors=1)
    assert measured_factors(factors, one) == factors.commonest(factors.learnable, 1)
    assert measured_factors(factors, dataclasses.replace(one, content_factor=rarest)) == [rarest]
    both = dataclasses.replace(one, content_factor=rarest, style_factor=factors.commonest(factors.learnable, 1)[0])
    assert set(measured_factors(factors, both)) == set(factors.names)


def test_a_model_whose_sections_do_not_divide_z_is_measured_without_them(tmp_path: Path) -> None:
    plain = ("model.layer_modulation=false", "model.section_drop=0", "model.channel_mult=[1,2]", "evaluate.vae_share=0")
    scene = scene_of(tmp_path, *plain)
    assert scene[0].model.latent_dim % scene[0].model.sections
    found = measure(scene, tmp_path)
    assert "no sections" in found["mix"]["notes"][0]
    assert set(found["attributes"]["best_match"]) == {"colour", "shape"}
    assert not (tmp_path / "figures/mix_cuts.png").exists()
