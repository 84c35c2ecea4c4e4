"""Measures of a reconstruction: known values, and what they must not be moved by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from soda.evaluation.baselines.untrained import initial_encoder
from soda.evaluation.image_metrics import MAX_PSNR, FixedNetwork, ImageJudge, feature_distance, frechet_distance, psnr, ssim
from tests.support.settings import make_config
from tests.support.shapes import bars_and_dots


def pictures(count: int = 3, size: int = 32, channels: int = 1, seed: int = 0) -> Tensor:
    """Smooth pictures in [0, 1]."""
    coarse = torch.rand(count, channels, 4, 4, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")


def test_psnr_of_a_known_error_picture_by_picture() -> None:
    originals = torch.full((3, 1, 8, 8), 0.5)
    drawn = originals + torch.tensor([0.0, 0.1, 0.01]).view(3, 1, 1, 1)
    torch.testing.assert_close(psnr(drawn, originals), torch.tensor([MAX_PSNR, 20.0, 40.0]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [8, 12, 16, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_one_for_equal_pictures_and_falls_with_noise(size: int, channels: int) -> None:
    originals = pictures(2, size, channels)
    noise = torch.randn(originals.shape, generator=torch.Generator().manual_seed(1))
    values = [ssim((originals + sigma * noise).clamp(0, 1), originals) for sigma in (0.0, 0.05, 0.3)]
    torch.testing.assert_close(values[0], torch.ones(2))
    assert (values[0] > values[1]).all()
    assert (values[1] > values[2]).all()


def test_ssim_of_a_single_picture_keeps_its_axis() -> None:
    assert ssim(pictures(1), pictures(1)).shape == (1,)


def test_frechet_distance_of_gaussians_is_the_closed_form() -> None:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((20_000, 3))
    other = x * np.array([2.0, 1.0, 0.5]) + np.array([1.0, 0.0, -2.0])
    expected = 1 + 4 + 1**2 + 0 + 0.5**2  # |m1 - m2|^2 + sum (s1 - s2)^2 for independent components
    assert frechet_distance(x, other) == pytest.approx(expected, rel=0.03)
    assert frechet_distance(x, other) == pytest.approx(frechet_distance(other, x), rel=1e-6)


def test_frechet_distance_agrees_with_the_matrix_square_root() -> None:
    from scipy.linalg import sqrtm

    generator = np.random.default_rng(0)
    x, y = (generator.standard_normal((50, 6)) @ generator.standard_normal((6, 6)) for _ in range(2))
    c1, c2 = np.cov(x.T), np.cov(y.T)
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(c1 + c2 - 2 * np.real(sqrtm(c1 @ c2)))
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_few_images_in_many_dimensions_is_the_same() -> None:
    """Where there are fewer images than features it goes another way: against the matrix square root, and a known case."""
    from scipy.linalg import sqrtm

    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((12, 30)), 2 * generator.standard_normal((40, 30)) + 1
    c1, c2 = np.cov(x.T), np.cov(y.T)
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(c1 + c2 - 2 * np.real(sqrtm(c1 @ c2)))
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-4)
    assert frechet_distance(x, 3 * x) == pytest.approx(np.square(2 * x.mean(0)).sum() + 4 * np.trace(c1), rel=1e-9)


@pytest.mark.parametrize("count", [1, 2, 5, 100])
def test_frechet_distance_of_a_set_to_itself_is_nought_also_when_singular(count: int) -> None:
    x = np.random.default_rng(0).standard_normal((count, 16))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-5)
    assert frechet_distance(x, x + 1) == pytest.approx(16, rel=1e-4)


def test_feature_distance_sees_directions_and_not_lengths() -> None:
    one, two = torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)
    one[:, 0], two[:, 1] = 5.0, 0.1
    assert feature_distance([one], [one * 7]).item() == pytest.approx(0)
    assert feature_distance([one], [two]).item() == pytest.approx(2)
    assert feature_distance([one, one], [two, one]).item() == pytest.approx(1)
    assert feature_distance([one], [-one]).item() == pytest.approx(4)


def test_the_instrument_taps_the_last_map_of_each_resolution_and_leaves_no_hooks() -> None:
    torch.manual_seed(0)
    stem, block = nn.Conv2d(1, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1)
    encoder = nn.Sequential(
        nn.Sequential(stem, nn.ReLU(), block), nn.Conv2d(4, 6, 3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    images = pictures(2, 16)
    vector, maps = FixedNetwork(encoder)(images)
    assert [tuple(m.shape) for m in maps] == [(2, 4, 8, 8), (2, 6, 4, 4)]
    with torch.no_grad():
        torch.testing.assert_close(maps[0], block(stem(images).relu()))
        torch.testing.assert_close(vector, encoder(images))
    assert not any(module._forward_hooks for module in encoder.modules())


def test_feature_distance_grows_with_blur_and_is_nought_for_the_picture_itself() -> None:
    torch.manual_seed(0)
    network = FixedNetwork(nn.Sequential(nn.Conv2d(1, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()))
    sharp = torch.rand(2, 1, 32, 32)
    slightly, strongly = (nn.functional.avg_pool2d(sharp, k, 1, k // 2) for k in (3, 9))
    base = network(sharp)[1]
    same, little, much = (feature_distance(network(x)[1], base) for x in (sharp, slightly, strongly))
    assert same.abs().max() < 1e-6
    assert (little > 0).all()
    assert (much > little).all()


def test_the_judge_finds_a_picture_nearest_to_itself() -> None:
    encoder = initial_encoder(make_config("dataset.channels=3"))
    judge = ImageJudge(FixedNetwork(encoder), batch_size=7)
    images = bars_and_dots(20)
    noisy = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    same, far = judge.nearness(images, images), judge.nearness(noisy, images)
    assert same.psnr.shape == (20,)
    assert (same.psnr > far.psnr).all()
    assert (same.ssim > far.ssim).all()
    assert (same.lpips_like < far.lpips_like).all()
    assert judge.fid_like(images, images) < 1e-3 < judge.fid_like(noisy, images)


def test_a_distance_to_the_originals_is_below_that_of_real_images() -> None:
    """Why the FID-like measure is taken against other images: paler copies are nearer to their originals than real images are."""
    generator = np.random.default_rng(0)
    real = bars_and_dots(80)
    real = (real * generator.uniform(0.4, 1.2, (80, 1, 1, 3))).clip(0, 255).astype(np.uint8)
    copies = (0.9 * real + 0.1 * real.mean((1, 2), keepdims=True)).astype(np.uint8)
    judge = ImageJudge(FixedNetwork(initial_encoder(make_config("dataset.channels=3"))), batch_size=40)
    some, others = slice(0, 40), slice(40, 80)
    among_real = judge.fid_like(real[some], real[others])
    assert judge.fid_like(copies[some], real[some]) < among_real < judge.fid_like(copies[some], real[others])
