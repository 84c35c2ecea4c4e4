"""The one noise table, held against the method's check values."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from soda.common.timesteps import first_on_floor
from soda.diffusion.schedule import SCHEDULES, Schedule, inverted_abar

CHECK_VALUES = {0.001: 0.9797, 0.01: 0.93572, 0.1: 0.79353, 0.25: 0.664, 0.5: 0.496, 0.75: 0.328, 0.9: 0.19847, 0.99: 0.05628}


@pytest.mark.parametrize(("t", "abar"), CHECK_VALUES.items())
def test_inverted_schedule_has_its_check_values(t: float, abar: float) -> None:
    assert float(inverted_abar(torch.tensor(t, dtype=torch.float64))) == pytest.approx(abar, abs=6e-5)


def test_inverted_schedule_is_clamped_where_it_would_turn_negative() -> None:
    ends = inverted_abar(torch.tensor([0.0, 0.99984, 0.9999, 1.0], dtype=torch.float64))
    assert ends[0] == 1 and ends[1] > 0 and ends[2] == 0 and ends[3] == 0


def test_inverted_schedule_spends_its_time_at_middle_noise() -> None:
    t = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    shares = {name: float(((abar(t) > 0.2) & (abar(t) < 0.8)).double().mean()) for name, abar in SCHEDULES.items()}
    assert shares["inverted"] == pytest.approx(0.80, abs=0.01)
    assert shares["cosine"] == pytest.approx(0.41, abs=0.01)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("num_timesteps", [2, 50, 1000])
def test_table_starts_clean_and_falls_strictly(name: str, num_timesteps: int) -> None:
    table = Schedule(name, num_timesteps).alphas_cumprod
    assert table[0] == 1 and table[-1] > 0 and len(table) == num_timesteps + 1
    assert (table[1:] < table[:-1]).all()


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("spacing", ["logsnr", "t"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 20, 99, 100])
def test_sampling_times_fall_from_T_to_the_clean_end(name: str, spacing: str, steps: int) -> None:
    times = Schedule(name, 100).sampling_times(steps, spacing)
    assert len(times) == steps + 1 and times[0] == 100 and times[-1] == 0
    assert all(later < earlier for earlier, later in pairwise(times))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("spacing", ["logsnr", "t"])
@pytest.mark.parametrize("steps", [2, 3, 4, 5, 10, 20, 200])
def test_every_step_removes_noise(name: str, spacing: str, steps: int) -> None:
    schedule = Schedule(name, 1000)
    times = schedule.sampling_times(steps, spacing)
    logsnr = schedule.alphas_cumprod[torch.tensor(times[:-1])].logit()
    even = float(logsnr[-1] - logsnr[0]) / steps
    assert float(logsnr.diff().min()) > (0.3 * even if spacing == "logsnr" and name != "inverted" else 1e-3)


def test_a_table_that_falls_to_its_last_entry_is_spaced_from_the_one_before() -> None:
    assert Schedule("inverted", 1000).sampling_times(4)[:2] == [1000, 999]  # log-SNR -9.2 and -4.4
    assert first_on_floor(Schedule("inverted", 1000).alphas_cumprod.numpy()) == 1000
    assert Schedule("cosine", 1000).sampling_times(4) == [1000, 929, 426, 39, 0]
    assert first_on_floor(Schedule("cosine", 1000).alphas_cumprod.numpy()) == 994


@pytest.mark.parametrize("name", SCHEDULES)
def test_as_many_steps_as_the_table_has_visit_all_of_it(name: str) -> None:
    for spacing in ("logsnr", "t"):
        assert Schedule(name, 1000).sampling_times(1000, spacing) == list(range(1000, -1, -1))


def test_logsnr_spacing_is_even_in_logsnr_where_the_table_is_fine() -> None:
    schedule = Schedule("cosine", 100_000)
    logsnr = schedule.alphas_cumprod[1:].logit()[torch.tensor(schedule.sampling_times(11)[1:-1]) - 1]
    gaps = logsnr.diff()
    assert float((gaps / gaps.mean() - 1).abs().max()) < 0.05


@pytest.mark.parametrize(("steps", "spacing"), [(0, "t"), (-1, "logsnr"), (101, "t"), (5, "log")])
def test_impossible_step_counts_and_spacings_are_refused(steps: int, spacing: str) -> None:
    with pytest.raises(ValueError, match=spacing if spacing == "log" else str(steps)):
        Schedule("cosine", 100).sampling_times(steps, spacing)


def test_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="quadratic"):
        Schedule("quadratic", 100)


def test_noise_keeps_the_variance() -> None:
    schedule = Schedule("cosine", 1000)
    generator = torch.Generator().manual_seed(0)
    x_0, eps = torch.randn(500, 1, 8, 8, generator=generator), torch.randn(500, 1, 8, 8, generator=generator)
    x_t = schedule.add_noise(x_0, torch.randint(0, 1001, (500,), generator=generator), eps)
    assert float(x_t.var()) == pytest.approx(1, abs=0.02)
