"""Perceptual path length: nought for a still image, and it grows with jumps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from soda.common.images import to_float
from soda.evaluation.baselines.untrained import initial_encoder
from soda.evaluation.image_metrics import FixedNetwork
from soda.evaluation.perceptual_path import half_way, path_length
from soda.inference.drawer import Drawer
from tests.support.models import awake
from tests.support.settings import make_config
from tests.support.shapes import render

CPU = torch.device("cpu")


def test_path_length_is_nought_for_a_still_picture_and_grows_with_jumps() -> None:
    network = FixedNetwork(initial_encoder(make_config("dataset.channels=3")))
    z = torch.linspace(-1, 1, 12)[:, None] * torch.ones(12, 4)
    base, other = (to_float(render(np.full(12, k), np.full(12, k + 1))) for k in (0, 1))

    def smooth(latents: Tensor) -> Tensor:
        return torch.lerp(base, other, latents[:, :1, None, None] / 2 + 0.5)

    def wild(latents: Tensor) -> Tensor:
        return torch.lerp(base, other, torch.sin(60 * latents[:, :1, None, None]) / 2 + 0.5)

    still, calm, rough = (path_length(z, base, draw, network, seed=0) for draw in (lambda _: base, smooth, wild))
    assert still["path_length"] == still["path_length_spherical"] == 0
    assert calm["path_length"] < 0.2 * rough["path_length"]
    with pytest.raises(ValueError, match="two images"):
        path_length(z[:1], base[:1], smooth, network, seed=0)


def fade(ends: Tensor, places: Tensor) -> Tensor:
    return torch.lerp(ends, ends.roll(-1, 0), places[:, None, None, None])


def test_a_fade_has_the_least_squared_speed_and_a_switch_more_though_both_have_the_same_ends() -> None:
    """Why a walk cannot be smoother than a fade: in pixels that is the straight line. A jump at one place costs most."""
    network = FixedNetwork(initial_encoder(make_config("dataset.channels=3")))
    count = 40
    images = to_float(render(np.arange(count) % 3, np.arange(count) % 4))
    z = torch.eye(count)  # a latent for each image; between two of them the shares of both

    def faded(latents: Tensor) -> Tensor:
        return torch.einsum("nk,kchw->nchw", latents, images)

    def switched(latents: Tensor) -> Tensor:
        """Eased in and out: slow at the ends, fast in the middle, as walks between unlike things are."""
        eased = latents**3 / (latents**3).sum(1, keepdim=True)
        return torch.einsum("nk,kchw->nchw", eased, images)

    straight, eased = (path_length(z, images, draw, network, seed=0) for draw in (faded, switched))
    assert straight["detour"] == pytest.approx(1, abs=0.05), "but for which walks end where"
    assert straight["path_length"] == pytest.approx(straight["path_length_crossfade"], rel=1e-3)
    assert eased["detour"] > 1.3 and eased["path_length"] > straight["path_length"]


def test_half_way_a_fade_is_no_image_and_a_walk_that_switches_is_one() -> None:
    images = to_float(render(np.arange(60) % 3, np.arange(60) % 4))
    real = to_float(render(np.arange(90) % 3, np.arange(90) % 4))
    network = FixedNetwork(initial_encoder(make_config("dataset.channels=3")))
    z = torch.eye(60)

    def describe(given: Tensor) -> np.ndarray:
        return network(given)[0].numpy()

    def nearest(latents: Tensor) -> Tensor:
        return images[latents.argmax(1)]

    found = half_way(z, images, real, nearest, describe)
    assert found["half_way"] == pytest.approx(found["half_way_real"], abs=0.2 * found["half_way_crossfade"])
    assert found["half_way_crossfade"] > 3 * found["half_way"]


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpm++2m"])
def test_noise_is_the_same_all_along_a_walk(sampler: str) -> None:
    """Between equal latents nothing moves, by no sampler: noise drawn anew for a frame would be read as roughness."""
    config = make_config("dataset.channels=3", f"diffusion.sampler={sampler}", "diffusion.eta=1.0", "diffusion.sampling_steps=3")
    drawer = Drawer(awake(config), batch_size=5)
    z, images = torch.ones(12, config.model.latent_dim), to_float(render(np.zeros(12, int), np.zeros(12, int)))
    found = path_length(z, images, drawer.draw, FixedNetwork(initial_encoder(config)), seed=0)
    assert found["path_length"] == found["path_length_spherical"] == 0
    z[6:] *= -1
    assert path_length(z, images, drawer.draw, FixedNetwork(initial_encoder(config)), seed=0)["path_length"] > 0
