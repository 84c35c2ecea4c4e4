"""A step that stays on its device is the step of the loop: the same images, rates, losses and averages, with noise of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from soda.common.errors import InputError
from soda.config import Config
from soda.data.dataset import PreparedData
from soda.data.pairs import find_partners
from soda.training import resident
from soda.training.batches import Reader
from soda.training.optim import learning_rate
from soda.training.resident import BLOCK, Resident, ResidentRun, interleaved
from soda.training.step import optimise, start_run
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config
from tests.support.shapes import render

CPU = torch.device("cpu")
RGB = "dataset.channels=3"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    generator = np.random.default_rng(0)
    shapes = render(generator.integers(0, 3, 300), generator.integers(0, 4, 300))
    return PreparedData(make_prepared(tmp_path_factory.mktemp("shapes") / "prepared", pixels=shapes))


def begin(config: Config, data: PreparedData) -> ResidentRun:
    split = data.split("train")
    reader = Reader(split, find_partners(data, split, config.views.pairs), config.train)
    return ResidentRun(start_run(config, "here", CPU), config, reader, Resident.of(split, CPU))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_is_the_loops_own_given_the_same_draws(
    optimizer: str, data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise and times are held still on both sides: nothing else is drawn with these settings."""
    config = make_config(
        f"train.optimizer={optimizer}", RGB, "model.channels=16", "model.section_drop=0", "model.latent_drop=0", "train.lr=0.003"
    )
    size = config.train.batch_size
    noise = torch.randn(size, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(torch, "randn", lambda *shape, **_: noise.clone())
    monkeypatch.setattr(
        "soda.training.step.draw_training_times", lambda count, *_: (torch.arange(count) % config.train.batch_size) + 1
    )
    monkeypatch.setattr(resident, "draw_training_times", lambda count, *_: (torch.arange(count) % config.train.batch_size) + 1)
    here = begin(config, data)
    loop, reader = start_run(config, "there", CPU), here.reader
    loop.model.train()
    steps = BLOCK + 5  # into the second block
    losses = [float(optimise(loop, loop.model, config, reader.at(step))) for step in range(steps)]
    here.advance(steps)
    assert here.read_losses()[:5].tolist() == pytest.approx(losses[BLOCK:], rel=2e-3)
    for mine, theirs in zip(here.run.ema.state_dict().values(), loop.ema.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=2e-2, atol=2e-3)
    rate = learning_rate(config.train, (steps - 1) * size)
    for group in here.run.optimizer.param_groups:
        assert float(group["lr"]) == pytest.approx(rate * group["lr_factor"])


def test_a_run_that_begins_anew_is_the_run_of_its_own_seed(data: PreparedData) -> None:
    first, second = make_config(RGB, "train.seed=1"), make_config(RGB, "train.seed=2")
    reused = begin(first, data)
    reused.advance(BLOCK + 7)
    fresh = begin(second, data)
    reused.restart(start_run(second, "again", CPU), fresh.reader, second)
    for each in (reused, fresh):
        each.advance(9)
    for mine, theirs in zip(reused.run.ema.parameters(), fresh.run.ema.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    other = begin(first, data)
    other.advance(9)
    assert not torch.equal(next(other.run.ema.parameters()), next(fresh.run.ema.parameters()))


@pytest.mark.parametrize("sources", [0, 2])
def test_views_come_with_their_cameras_the_target_being_its_own_source_where_there_is_none(sources: int) -> None:
    pixels, cameras = (
        torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 8, 8, 3),
        torch.arange(4.0)[:, None].expand(4, 16),
    )
    index = torch.tensor([[3, 2, 1], [0, 1, 2]])[:, 2 - sources :]
    batch = Resident(pixels, cameras).views(index)
    seen = index[:, :-1] if sources else index[:, -1:]
    assert batch.source_cameras is not None and batch.target_cameras is not None
    assert torch.equal(batch.source_cameras[..., 0], seen.float())
    assert torch.equal(batch.target_cameras[:, 0], index[:, -1].float())
    assert torch.equal(((batch.sources[..., 0, 0, 0] + 1) * 127.5).round(), seen.float())


def test_dropout_is_refused(data: PreparedData) -> None:
    with pytest.raises(InputError, match=r"model\.dropout"):
        begin(make_config("model.dropout=0.1"), data)


def test_runs_take_turns_and_the_next_begins_when_one_ends() -> None:
    seen: list[str] = []

    def work(name: str, turns: int) -> object:
        for turn in range(turns):
            seen.append(f"{name}{turn}")
            yield

    for _ in interleaved([lambda: work("a", 3), lambda: work("b", 1), lambda: work("c", 2)], at_once=2):
        pass
    assert seen == ["a0", "b0", "a1", "a2", "c0", "c1"]
