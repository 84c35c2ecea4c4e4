"""The one drawing loop: repeatable, the same for every batch size, its noise from (seed, sample) on the CPU."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from soda.config import Config
from soda.inference.drawer import Drawer, Sampling
from tests.support.models import awake


@pytest.fixture
def drawer(small_config: Config) -> Drawer:
    return Drawer(awake(small_config), batch_size=2)


def test_drawing_is_repeatable_and_depends_on_z_seed_and_sample(drawer: Drawer) -> None:
    z = torch.randn(3, drawer.network.latent_dim)
    drawn = drawer.draw(z)
    assert drawn.shape == (3, 1, 16, 16) and float(drawn.abs().max()) <= 1
    assert torch.equal(drawn, drawer.draw(z, drawer.noise(3, 0))) and not torch.allclose(drawn, drawer.draw(z.flip(0)))
    others = [drawer.draw(z, sampling=Sampling(seed, sample=sample)) for seed, sample in ((0, 1), (1, 0), (1, 1))]
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in zip([drawn, *others], [*others, drawn], strict=True))


def test_the_size_of_batches_changes_nothing_of_deterministic_drawing(drawer: Drawer) -> None:
    z = torch.randn(5, drawer.network.latent_dim)
    torch.testing.assert_close(drawer.draw(z), Drawer(drawer.network, batch_size=5).draw(z), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="batch_size: 0"):
        Drawer(drawer.network, batch_size=0)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_alike_is_one_noise_for_all(drawer: Drawer, sampler: str) -> None:
    z = torch.randn(1, drawer.network.latent_dim).expand(3, -1)
    drawn = drawer.draw(z, sampling=Sampling(sampler=sampler), alike=True)
    torch.testing.assert_close(drawn, drawn[:1].expand(3, -1, -1, -1), atol=1e-5, rtol=0)
    assert not torch.allclose(*drawer.draw(z, sampling=Sampling(sampler=sampler))[:2], atol=1e-3)


def test_settings_come_from_the_model_unless_given(drawer: Drawer) -> None:
    z, x_T = torch.randn(2, drawer.network.latent_dim), drawer.noise(2, 0)
    own = drawer.draw(z, x_T)
    drawer.network.diffusion = dataclasses.replace(drawer.network.diffusion, sampler="dpm++2m", sampling_steps=7)
    assert not torch.allclose(drawer.draw(z, x_T), own, atol=1e-3)
    torch.testing.assert_close(drawer.draw(z, x_T, Sampling(steps=5, sampler="ddim", eta=0.0)), own)


def test_inversion_gives_back_the_image(drawer: Drawer) -> None:
    x_0 = torch.rand(3, 1, 16, 16) * 2 - 1
    z, sampling = drawer.encode(x_0), Sampling(steps=50)
    again = drawer.draw(z, drawer.invert(x_0, z, sampling), sampling, exact=True)
    other = drawer.draw(z, None, sampling)
    assert float((again - x_0).pow(2).mean()) < 0.2 * float((other - x_0).pow(2).mean())
    with pytest.raises(ValueError, match="2 latents for 3 images"):
        drawer.invert(x_0, z[:2], sampling)
