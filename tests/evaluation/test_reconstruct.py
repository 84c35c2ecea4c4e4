"""Reconstructions follow from z and a seed, and are judged at their cost."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from soda.common.images import to_float
from soda.config import Config
from soda.evaluation.baselines.untrained import initial_encoder
from soda.evaluation.image_metrics import FixedNetwork, ImageJudge
from soda.evaluation.reconstruct import exact_cost, reconstruct, stochastic_cost
from soda.inference.drawer import Drawer
from soda.inference.soda import SODA
from soda.model.network import SodaNetwork
from tests.support.settings import make_config
from tests.support.shapes import render, shaken

CPU = torch.device("cpu")


def drawer_of(model: SodaNetwork) -> Drawer:
    return Drawer(model, batch_size=4, progress=False)


def test_reconstructions_follow_from_z_and_the_seed(small_config: Config) -> None:
    drawer = Drawer(shaken(small_config), batch_size=5, progress=False)
    z = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    first = reconstruct(drawer, z, seed=0)
    assert first.shape == (5, 16, 16, 1)
    assert first.dtype == np.uint8
    assert np.array_equal(first, reconstruct(drawer, z, seed=0))
    assert not np.array_equal(first, reconstruct(drawer, z, seed=0, sample=1))
    assert not np.array_equal(first, reconstruct(drawer, -z, seed=0))


def test_costs_count_evaluations_and_a_perfect_inversion_is_exact() -> None:
    config = make_config("dataset.channels=3")
    model, pictures = shaken(config), render(np.arange(6) % 3, np.arange(6) % 4)
    judge = ImageJudge(FixedNetwork(initial_encoder(config)), batch_size=4)
    with torch.no_grad():
        z = model.encode(to_float(pictures))
    seen: list[int] = []
    model.denoiser.register_forward_hook(lambda *_: seen.append(1))
    costs = stochastic_cost(drawer_of(model), z, pictures, judge, (2, 5), seed=0)
    assert [cost.evaluations for cost in costs.values()] == [2, 5]
    assert len(seen) == 2 * (2 + 5)  # two batches
    guided = SodaNetwork(
        model=config.model,
        diffusion=dataclasses.replace(config.diffusion, guidance_scale=2.0),
        image_size=16,
        channels=3,
    ).eval()
    seen.clear()
    guided.denoiser.register_forward_hook(lambda *_: seen.append(1))
    costs = stochastic_cost(drawer_of(guided), z, pictures, judge, (2, 5), seed=0)  # two evaluations a step
    assert [cost.evaluations for cost in costs.values()] == [2, 4]
    assert len(seen) == 2 * (2 + 4)

    few, many = exact_cost(drawer_of(model), z, pictures, judge, (5, 50)).values()
    assert (few.evaluations, many.evaluations) == (5 * 4, 50 * 4)  # three rounds a step there, one back
    assert many.psnr > max(few.psnr, 40)


def test_the_fid_like_measure_of_a_cost_is_against_other_images() -> None:
    config = make_config("dataset.channels=3")
    model, pictures = shaken(config), render(np.arange(12) % 3, np.arange(12) % 4)
    judge, drawer = ImageJudge(FixedNetwork(initial_encoder(config)), batch_size=4), drawer_of(model)
    originals, others = pictures[:6], pictures[6:]
    with torch.no_grad():
        z = model.encode(to_float(originals))
    cost = stochastic_cost(drawer, z, originals, judge, (2,), seed=0, real=others)[2]
    drawn = reconstruct(drawer, z, seed=0, steps=2)
    assert cost.fid_like == judge.fid_like(drawn, others) != judge.fid_like(drawn, originals)
    assert np.isnan(stochastic_cost(drawer, z, originals, judge, (2,), seed=0)[2].fid_like)


def test_exact_reconstruction_is_measured_with_the_models_own_guidance() -> None:
    config = make_config("dataset.channels=3", "diffusion.guidance_scale=3")
    model, pictures = shaken(config), render(np.arange(4) % 3, np.arange(4))
    with torch.no_grad():  # z must count for more than in a model that is hardly shaken
        for parameter in model.denoiser.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    judge = ImageJudge(FixedNetwork(initial_encoder(config)), batch_size=4)
    with torch.no_grad():
        z = model.encode(to_float(pictures))
    measured = exact_cost(drawer_of(model), z, pictures, judge, (5,))[5]
    facade = SODA(model, config, Path("nowhere"), output="array")
    again = judge.nearness(facade.reconstruct(pictures, exact=True, steps=5), pictures)
    assert measured.psnr == pytest.approx(float(again.psnr.mean()), abs=0.02)
    plain = judge.nearness(facade.reconstruct(pictures, exact=True, steps=5, guidance=1), pictures)
    assert abs(measured.psnr - float(plain.psnr.mean())) > 0.1
    assert measured.evaluations == 5 * 4 * 2
