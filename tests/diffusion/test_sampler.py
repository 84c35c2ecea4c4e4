"""Samplers on denoisers whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from soda.diffusion.inversion import invert_exactly
from soda.diffusion.sampler import Denoise, prediction_target, sample, split_prediction
from soda.diffusion.schedule import SCHEDULES, Schedule

SAMPLERS = [("ddpm", 0.0), ("ddim", 0.0), ("ddim", 0.5), ("ddim", 1.0), ("dpm++2m", 0.0)]


def perfect(x_0: Tensor, schedule: Schedule, prediction: str) -> Denoise:
    """A denoiser that knows the picture, seen through a network's parameterisation."""

    def denoise(x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        abar = schedule.abar(t, x_t)
        eps = (x_t - abar.sqrt().float() * x_0) / (1 - abar).sqrt().float()
        return split_prediction(prediction, prediction_target(prediction, x_0, eps, abar), x_t, abar)

    return denoise


@pytest.mark.parametrize("prediction", ["eps", "v", "x_0"])
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("method", "eta"), SAMPLERS)
def test_perfect_denoiser_gives_the_clean_picture(method: str, eta: float, name: str, prediction: str) -> None:
    generator = torch.Generator().manual_seed(0)
    schedule = Schedule(name, 1000)
    x_0 = torch.rand(2, 3, 8, 8, generator=generator) * 2 - 1
    for steps in (1, 2, 3, 5, 20, 200):
        for spacing in ("logsnr", "t"):
            x_T = torch.randn(x_0.shape, generator=generator)
            denoise = perfect(x_0, schedule, prediction)
            drawn = sample(denoise, x_T, schedule, steps, method=method, eta=eta, spacing=spacing, generator=generator)
            assert float((drawn - x_0).abs().max()) < 1e-4, (steps, spacing)


def gaussian(sigma: float, schedule: Schedule) -> Denoise:
    """The exact denoiser of data drawn from N(0, sigma^2)."""

    def denoise(x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        abar = schedule.abar(t, x_t).float()
        x_0 = abar.sqrt() * sigma**2 / (abar * sigma**2 + 1 - abar) * x_t
        return x_0, (x_t - abar.sqrt() * x_0) / (1 - abar).sqrt()

    return denoise


@pytest.mark.parametrize(("method", "eta"), SAMPLERS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_samples_of_gaussian_data_have_its_spread(method: str, eta: float, name: str) -> None:
    schedule = Schedule(name, 1000)
    generator = torch.Generator().manual_seed(0)
    x_T = torch.randn(4000, 1, 2, 2, generator=generator)
    drawn = sample(gaussian(0.3, schedule), x_T, schedule, 200, method=method, eta=eta, generator=generator, clip=False)
    # The inverted schedule's first entry has sigma = .14: its last step, however fine the others, takes a mean for a sample.
    assert float(drawn.std()) == pytest.approx(0.3, rel=0.12 if name == "inverted" else 0.05)


def imperfect(images: Tensor, spread: float, schedule: Schedule) -> Denoise:
    """The exact denoiser of data drawn from N(images, spread^2), off by an error like a network's: every t has its own."""
    exact = gaussian(spread, schedule)

    def denoise(x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        abar = schedule.abar(t, x_t).float()
        x_0 = images + exact(x_t - abar.sqrt() * images, t)[0]
        error = torch.randn(images.shape, generator=torch.Generator().manual_seed(int(t[0])))
        x_0 = x_0 + 0.1 * (1 - abar).sqrt() * error
        return x_0, (x_t - abar.sqrt() * x_0) / (1 - abar).sqrt()

    return denoise


@pytest.mark.parametrize("spacing", ["logsnr", "t"])
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("method", "eta"), SAMPLERS)
def test_no_sampler_makes_more_of_a_networks_errors_than_ddim(method: str, eta: float, name: str, spacing: str) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(40, 1, 4, 4, generator=generator) - 0.5
    originals = images + 0.2 * torch.randn(images.shape, generator=generator)
    x_T = torch.randn(images.shape, generator=generator)
    # Of the table of 50 all entries are visited in the end, those on its floor among them.
    for schedule, steps in ((Schedule(name, 1000), (3, 4, 5, 10, 20)), (Schedule(name, 50), (3, 10, 50))):
        denoise = imperfect(images, 0.2, schedule)
        for count in steps:
            noise = torch.Generator().manual_seed(1)
            drawn = sample(denoise, x_T, schedule, count, method=method, eta=eta, spacing=spacing, generator=noise)
            of_ddim = sample(denoise, x_T, schedule, count, spacing=spacing)
            found, most = (float((each - originals).square().mean().sqrt()) for each in (drawn, of_ddim))
            assert found < 1.2 * most, (schedule.num_timesteps, count)  # 1.6 dB


def test_second_order_beats_first_order_at_few_steps() -> None:
    schedule = Schedule("cosine", 1000)
    x_T = torch.randn(2000, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    denoise = gaussian(0.3, schedule)
    exact = sample(denoise, x_T, schedule, 1000, method="ddim", clip=False)
    errors = {
        m: float((sample(denoise, x_T, schedule, 10, method=m, clip=False) - exact).abs().mean()) for m in ("ddim", "dpm++2m")
    }
    assert errors["dpm++2m"] < 0.5 * errors["ddim"]


def test_inversion_and_ddim_undo_one_another() -> None:
    schedule = Schedule("cosine", 1000)
    denoise = gaussian(0.3, schedule)
    x_0 = 0.3 * torch.randn(100, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    errors = []
    for steps in (20, 200):
        x_T = invert_exactly(denoise, x_0, schedule, steps, rounds=1)
        errors.append(float((sample(denoise, x_T, schedule, steps, method="ddim", clip=False) - x_0).pow(2).mean()))
    assert errors[1] < 1e-4 and errors[1] < errors[0] / 5
    assert float(x_T.std()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("prediction", ["eps", "v", "x_0"])
def test_predictions_and_their_targets_agree(prediction: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x_0, eps = torch.randn(5, 1, 4, 4, generator=generator), torch.randn(5, 1, 4, 4, generator=generator)
    abar = torch.linspace(0.1, 0.9, 5).view(-1, 1, 1, 1)
    x_t = abar.sqrt() * x_0 + (1 - abar).sqrt() * eps
    found = split_prediction(prediction, prediction_target(prediction, x_0, eps, abar), x_t, abar)
    torch.testing.assert_close(found, (x_0, eps), atol=1e-5, rtol=1e-4)


def test_one_seed_one_picture() -> None:
    schedule = Schedule("linear", 100)
    x_T = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))

    def draw(seed: int) -> Tensor:
        return sample(gaussian(1, schedule), x_T, schedule, 10, method="ddpm", generator=torch.Generator().manual_seed(seed))

    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))


def test_clipping_keeps_pictures_in_range() -> None:
    schedule = Schedule("cosine", 100)
    x_T = torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    drawn = sample(lambda x, t: (3 * torch.ones_like(x), x), x_T, schedule, 10)
    assert float(drawn.abs().max()) <= 1 and math.isclose(float(drawn.min()), 1)


def test_unknown_sampler_is_refused() -> None:
    schedule = Schedule("cosine", 100)
    with pytest.raises(ValueError, match="euler"):
        sample(gaussian(1, schedule), torch.zeros(1, 1, 2, 2), schedule, 10, method="euler")
