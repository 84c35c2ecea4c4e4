"""Views: range, independence, what the settings switch off."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from soda.common.images import to_float, to_uint8
from soda.config import AugmentConfig, compose, from_dict
from soda.data.augment import augment, recolour, view_pair
from tests.support.settings import DEFAULT, ROOT

OFF = AugmentConfig(
    crop_prob=0,
    crop_scale_min=0.2,
    flip_prob=0,
    randaugment_prob=0,
    randaugment_ops=2,
    randaugment_magnitude=0.5,
    noise_sigma=0,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(64, 3, 16, 16, generator=seeded(9)) * 2 - 1


def test_bytes_survive_the_way_to_floats_and_back() -> None:
    batch = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    assert np.array_equal(to_uint8(to_float(batch)), batch)
    assert float(to_float(batch).min()) == -1 and float(to_float(batch).max()) == 1


def test_values_out_of_range_are_clamped_and_do_not_wrap() -> None:
    assert to_uint8(torch.tensor([-3.0, 1.2, 7.0]).view(1, 1, 1, 3)).ravel().tolist() == [0, 255, 255]


def test_everything_off_changes_nothing(images: Tensor) -> None:
    assert torch.equal(augment(images, OFF, seeded()), images)


def test_a_sure_flip_mirrors(images: Tensor) -> None:
    flipped = augment(images, dataclasses.replace(OFF, flip_prob=1.0), seeded())
    torch.testing.assert_close(flipped, images.flip(-1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("setting", ["crop_prob", "flip_prob", "randaugment_prob"])
def test_probabilities_are_shares_of_pictures(images: Tensor, setting: str) -> None:
    many = images.repeat(20, 1, 1, 1)
    changed = (augment(many, dataclasses.replace(OFF, **{setting: 0.5}), seeded()) - many).abs().amax((1, 2, 3)) > 1e-4
    assert float(changed.float().mean()) == pytest.approx(0.5, abs=0.06)


def test_crops_show_a_part_of_the_picture() -> None:
    ramp = torch.linspace(-1, 1, 16).expand(64, 1, 16, 16)
    views = augment(ramp, dataclasses.replace(OFF, crop_prob=1.0), seeded())
    spans = views.amax((1, 2, 3)) - views.amin((1, 2, 3))
    assert float(spans.max()) <= 2 + 1e-5 and float(spans.min()) < 1.3 and float(views.abs().max()) <= 1 + 1e-5


def test_randaugment_stays_in_range_and_varies(images: Tensor) -> None:
    views = augment(images[:1].repeat(64, 1, 1, 1), dataclasses.replace(OFF, randaugment_prob=1.0), seeded())
    assert float(views.abs().max()) <= 1 + 1e-5
    assert len({round(float(v), 4) for v in views.mean((1, 2, 3))}) > 30


def test_noise_has_its_sigma(images: Tensor) -> None:
    noisy = augment(images, dataclasses.replace(OFF, noise_sigma=0.1), seeded())
    assert float((noisy - images).std()) == pytest.approx(0.1, rel=0.03)


def test_source_and_target_of_the_paper_are_different_views(images: Tensor) -> None:
    views = from_dict(compose(["views=paper"], ROOT / "conf")).views
    source, target = view_pair(images, images, views, seeded())
    assert source.shape == target.shape == images.shape
    assert float((source - target).abs().amax((1, 2, 3)).min()) > 1e-3


def test_source_and_target_have_their_own_settings(images: Tensor) -> None:
    views = dataclasses.replace(DEFAULT.views, source=dataclasses.replace(OFF, noise_sigma=0.2), target=OFF)
    source, target = view_pair(images, images, views, seeded())
    assert torch.equal(target, images) and not torch.equal(source, images)


def test_one_seed_one_view(images: Tensor) -> None:
    config = dataclasses.replace(OFF, crop_prob=0.9, randaugment_prob=0.9, noise_sigma=0.1)
    first, again, other = (augment(images, config, seeded(s)) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_other_colours_are_the_same_in_all_views_of_a_pair_and_differ_between_pairs(images: Tensor) -> None:
    images = images / 2  # nothing near black or white, which keep their colour
    source, mirrored, other = views = recolour((images, images.flip(-1), images), 0.6, seeded())
    assert all(view.shape == images.shape and float(view.abs().max()) <= 1 for view in views)
    assert torch.equal(source, other) and torch.equal(mirrored.flip(-1), source)
    powers = ((source + 1) / 2).log() / ((images + 1) / 2).log()  # one number for each picture and channel
    assert float(powers.amax((2, 3)).sub(powers.amin((2, 3))).abs().max()) < 0.05
    assert float(powers.mean((2, 3)).log().std()) == pytest.approx(0.6, rel=0.15)


def test_white_and_black_keep_their_colour_and_strength_0_keeps_all(images: Tensor) -> None:
    extremes = torch.tensor([-1.0, 1.0]).view(1, 1, 1, 2).expand(64, 3, 4, 2)
    assert torch.equal(recolour([extremes], 2.0, seeded())[0], extremes)
    torch.testing.assert_close(recolour([images], 0.0, seeded())[0], images)
