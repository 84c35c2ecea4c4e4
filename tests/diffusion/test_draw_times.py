"""How often training sees which noise."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from soda.common.timesteps import first_on_floor
from soda.config import ConfigError, DiffusionConfig
from soda.diffusion.schedule import SCHEDULES, schedule_table
from soda.model.batch import ViewBatch
from soda.training.step import draw_loss, draw_training_times
from tests.support.settings import DEFAULT, make_config

COUNT = 40_000


def settings(**changes: Any) -> DiffusionConfig:
    return dataclasses.replace(DEFAULT.diffusion, **changes)


def drawn(**changes: Any) -> Tensor:
    return draw_training_times(COUNT, settings(**changes), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("power", [1.0, 4.0, 6.0])
def test_high_noise_is_drawn_more_often_with_a_power_above_one(power: float) -> None:
    t = drawn(time_power=power)
    assert t.min() >= 1 and t.max() == 1000
    assert (t > 900).double().mean() == pytest.approx(0.1 ** (1 / power), abs=0.01)  # P(u^p < .1)
    # What comes with it: so much on t = T itself, 31.6 % at 6, and on the whole of the floor 43.7 %.
    assert (t == 1000).double().mean() == pytest.approx(1000 ** (-1 / power), abs=0.01)
    assert (t >= 994).double().mean() == pytest.approx(0.007 ** (1 / power), abs=0.01)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("name", SCHEDULES)
def test_of_the_floor_as_much_is_drawn_as_is_said(name: str, share: float) -> None:
    t = drawn(schedule=name, time_draw="logsnr", floor_share=share)
    assert (t == 1000).double().mean() == pytest.approx(share, abs=0.01)
    floor = first_on_floor(schedule_table(name, 1000).numpy())
    assert not ((t >= floor) & (t < 1000)).any() and t.min() >= 1


@pytest.mark.parametrize(("mean", "std"), [(-4.0, 3.0), (0.0, 1.0), (-9.0, 4.0)])
def test_the_rest_is_normal_in_logsnr(mean: float, std: float) -> None:
    logsnr = schedule_table("cosine", 1000)[1:].logit()
    t = drawn(time_draw="logsnr", floor_share=0.1, logsnr_mean=mean, logsnr_std=std)
    found = logsnr[t[t < 1000] - 1]
    ends = torch.stack((logsnr[992], logsnr[0]))  # 993 is the last entry off the floor
    low, high = torch.special.ndtr((ends - mean) / std)
    for level in (-8.0, -6.0, -4.0, -2.0, 0.0, 2.0, 4.0):
        wanted = (torch.special.ndtr(torch.tensor((level - mean) / std, dtype=torch.float64)) - low) / (high - low)
        assert (found < level).double().mean() == pytest.approx(float(wanted.clamp(0, 1)), abs=0.015), level


@pytest.mark.parametrize("num_timesteps", [2, 3, 50])
@pytest.mark.parametrize("name", SCHEDULES)
def test_short_tables_are_drawn_from_too(name: str, num_timesteps: int) -> None:
    t = drawn(schedule=name, num_timesteps=num_timesteps, sampling_steps=1, time_draw="logsnr")
    assert t.min() == 1 and t.max() == num_timesteps


@pytest.mark.parametrize(("mean", "entry"), [(100.0, 1), (-100.0, 993)])
def test_a_mean_beyond_the_table_draws_its_end(mean: float, entry: int) -> None:
    assert (drawn(time_draw="logsnr", logsnr_mean=mean, logsnr_std=0.5, floor_share=0.0) == entry).all()


def test_training_draws_so() -> None:
    batch = ViewBatch.of(torch.zeros(2000, 1, 16, 16))
    config = make_config("dataset.channels=1", "diffusion.time_draw=logsnr", "diffusion.floor_share=0.5")
    t = draw_loss(batch, config, torch.Generator().manual_seed(0)).t
    assert (t == 50).double().mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    "wrong", ["time_power=0", "time_draw=evenly", "floor_share=1.5", "floor_share=-0.1", "logsnr_std=0", "logsnr_mean=.nan"]
)
def test_settings_that_are_not_possible_are_named(wrong: str) -> None:
    with pytest.raises(ConfigError, match=rf"diffusion\.{wrong.partition('=')[0]}: "):
        make_config(f"diffusion.{wrong}")
