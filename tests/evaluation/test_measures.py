"""All measures on a small model: which groups there are, that every number is one, and their figures."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from soda.evaluation.evaluate import measure
from soda.evaluation.frozen import frozen
from soda.evaluation.registry import flatten, measures
from soda.evaluation.scene import measured_factors
from tests.support.objects import OBJECTS, VIEWS, of_objects
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config
from tests.support.shapes import SHAPES, context_of, render

FEW = (
    "dataset.channels=3",
    "train.images=64",
    "diffusion.sampling_steps=2",
    "evaluate.batch_size=50",
    "evaluate.probe_l2=[0.01]",
    "evaluate.reconstructions=8",
    "evaluate.fid_images=8",
    "evaluate.curve_images=8",
    "evaluate.exact_images=4",
    "evaluate.reader_images=640",
    "evaluate.mix_pairs=8",
    "evaluate.attribute_images=4",
    "evaluate.dci_images=60",
    "evaluate.vae_share=0.2",
    "evaluate.view_targets=1",
    "evaluate.view_samples=1",
)
ALWAYS = {"reconstructions", "reconstruction_cost", "neighbours", "latent_map", "walks", "mix_cuts", "directions"}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data of known factors, without labels."""
    generator = np.random.default_rng(0)
    colour, shape = generator.integers(0, 3, 220), generator.integers(0, SHAPES, 220)

    def edit(manifest: pd.DataFrame) -> pd.DataFrame:
        return manifest.assign(**{"factor.colour": [f"c{c}" for c in colour], "factor.shape": [f"s{s}" for s in shape]})

    return make_prepared(tmp_path_factory.mktemp("shapes"), pixels=render(colour, shape), labels=None, edit=edit)


def figures(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "figures").iterdir()}


def test_all_groups_hold_finite_numbers_and_figures_and_the_weights_stay(shapes: Path, tmp_path: Path) -> None:
    context = context_of(make_config(*FEW), shapes, tmp_path)
    with frozen(context.model):
        found = measure(context)
    groups = ["probe", "reconstruction", "latent", "interpolation", "sections", "mix", "attributes", "disentanglement"]
    assert list(found) == groups
    assert {"exact_psnr", "lpips_like@10"} < set(found["reconstruction"])
    assert {"path_length", "path_length_crossfade"} < set(found["interpolation"])
    assert set(found["attributes"]["best_match"]) == {"colour", "shape"}
    assert {"direction", "score", "others"} < set(found["attributes"]["best_match"]["colour"])
    assert "as many directions drawn at random" in found["attributes"]["notes"][0]
    assert {"dci_d", "dci_c", "dci_i", "baselines"} < set(found["disentanglement"])
    assert set(found["disentanglement"]["baselines"]) == {"pca", "random", "beta_vae"}
    assert found["sections"]["by_factor"]["colour"]["pixels_linear_top1"] > 0.95  # colours are in the pixels
    assert all(
        0 <= found["sections"]["by_factor"][factor][f"{of}_p"] <= 1
        for factor in ("colour", "shape")
        for of in ("pixels", "random")
    )
    assert all(group["notes"] for group in found.values())
    assert all(math.isfinite(value) for value in flatten(found).values() if not isinstance(value, str))
    drawn = ALWAYS | {"section_factors", "attributes", "disentanglement"}
    if "style_accuracy" in found["mix"]:  # an untrained model's mixes need not have two sides
        drawn.add("mix")
    assert figures(tmp_path) == drawn
    assert drawn <= {figure.name for each in measures() for figure in each.figures}


def test_without_factors_there_are_reconstructions_and_interpolations_the_same_each_time(tmp_path: Path) -> None:
    prepared = make_prepared(tmp_path / "data", n=60, size=16, channels=3, labels=None)
    one, two = (measure(context_of(make_config(*FEW), prepared, tmp_path / name)) for name in ("one", "two"))
    assert list(one) == ["probe", "reconstruction", "latent", "interpolation"]
    assert one == two
    assert figures(tmp_path / "one") == ALWAYS


def test_factors_that_the_settings_name_are_measured_or_refused(shapes: Path, tmp_path: Path) -> None:
    config = make_config(*FEW)
    with pytest.raises(ValueError, match=r"evaluate.style_factor: 'hue' .* colour, shape"):
        measure(context_of(config, shapes, tmp_path / "hue", style_factor="hue"))
    with pytest.raises(ValueError, match=r"evaluate.style_factor: 'colour' alone .* set evaluate.content_factor"):
        measure(context := context_of(config, shapes, tmp_path / "alone", style_factor="colour"))
    factors = context.factors
    assert factors is not None
    (commonest,) = factors.commonest(factors.learnable, 1)
    (rarest,) = set(factors.names) - {commonest}
    one = dataclasses.replace(config.evaluate, max_factors=1)
    assert measured_factors(factors, one) == [commonest]
    assert measured_factors(factors, dataclasses.replace(one, content_factor=rarest)) == [rarest]
    both = dataclasses.replace(one, content_factor=rarest, style_factor=commonest)
    assert set(measured_factors(factors, both)) == set(factors.names)


def test_a_model_whose_sections_do_not_divide_z_is_measured_without_them(shapes: Path, tmp_path: Path) -> None:
    plain = ("model.layer_modulation=false", "model.section_drop=0", "model.channel_mult=[1,2]", "evaluate.vae_share=0")
    context = context_of(make_config(*FEW, *plain), shapes, tmp_path)
    assert context.model.latent_dim % context.model.sections
    found = measure(context)
    assert "no sections" in found["mix"]["notes"][0]
    assert set(found["attributes"]["best_match"]) == {"colour", "shape"}
    assert "mix_cuts" not in figures(tmp_path)


def test_a_model_that_is_told_of_cameras_is_asked_for_novel_views(tmp_path: Path) -> None:
    posed = ("model=posed", "views=object", "model.cameras.octaves=2", "model.encoder_width=8")
    config = make_config(*posed, *FEW)
    prepared = make_prepared(tmp_path / "data", n=OBJECTS * VIEWS, size=16, channels=3, edit=of_objects)
    (novel,) = (each for each in measures() if each.key == "novel_view")
    assert novel.compute is not None
    group = novel.compute(context_of(config, prepared, tmp_path))
    assert {"psnr@1", "psnr@4", "wrong_pose_psnr@1", "shuffled_psnr@1", "azimuth_error", "notes"} <= set(group)
    assert figures(tmp_path) == {figure.name for figure in novel.figures}
