"""`train.encoder_lr_factor=0`: the encoder stays as it began, and the denoiser learns to draw from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from soda.config import ConfigError
from soda.data.dataset import PreparedData
from soda.model.batch import ViewBatch
from soda.training.batches import Reader
from soda.training.checkpoint import save_model
from soda.training.fit import Recipe
from soda.training.resident import Resident, ResidentRun
from soda.training.step import Run, optimise, start_run
from tests.support.models import awake
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config

CPU = torch.device("cpu")
FROZEN = "train.encoder_lr_factor=0"


def kept(run: Run) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The encoder's tensors of the weights and of their average, with the statistics of its batch norms."""
    weights, average = (
        {name: value.clone() for name, value in each.encoder.state_dict().items()} for each in (run.model, run.ema)
    )
    assert any(name.endswith("running_mean") for name in weights)
    return weights, average


def same(before: tuple[dict[str, Tensor], ...], after: tuple[dict[str, Tensor], ...]) -> bool:
    return all(torch.equal(old[name], new[name]) for old, new in zip(before, after, strict=True) for name in old)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_not_one_number_of_the_encoder_changes(tmp_path: Path, optimizer: str) -> None:
    beginning = make_config("dataset.channels=1", "train.seed=7")
    save_model(tmp_path / "zoo/mine", awake(beginning), beginning, data_version="v", images=0)
    for factor, stays in ((0, True), (0.03, False)):
        settings = (f"train.encoder_lr_factor={factor}", f"train.optimizer={optimizer}", f"train.init={tmp_path}/zoo/mine")
        config = make_config("dataset.channels=1", *settings)
        run = start_run(config, "key", CPU)
        encoder, denoiser = kept(run), [p.clone() for p in run.model.denoiser.parameters()]
        run.model.train()
        for _ in range(3):
            optimise(run, run.model, config, ViewBatch.of(torch.randn(4, 1, 16, 16)))
        assert same(encoder, kept(run)) == stays
        assert not all(map(torch.equal, denoiser, run.model.denoiser.parameters()))
        assert run.model.encoder.training != stays and run.model.denoiser.training


def test_it_stays_on_a_device_of_its_own_too(tmp_path: Path) -> None:
    config = make_config("dataset.channels=1", FROZEN)
    split = PreparedData(make_prepared(tmp_path / "prepared", size=16)).split("train")
    run = start_run(config, "key", CPU)
    encoder = kept(run)
    ResidentRun(run, config, Reader(split, None, config.train), Resident.of(split, CPU)).advance(3)
    assert same(encoder, kept(run)) and run.step == 3


def test_there_is_no_teacher_of_an_encoder_that_does_not_learn(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.encoder_lr_factor: 0\.0 .*above 0 where there is a teacher"):
        make_config(FROZEN, "train.teacher=efficientnet_lite0")
    with pytest.raises(ConfigError, match=r"train\.encoder_lr_factor"):
        make_config("train.encoder_lr_factor=-1")


def test_networks_beside_it_learn_at_the_denoisers_rate() -> None:
    rates = []
    for factor in (0, 1):
        recipe = Recipe.of_run(make_config(f"train.encoder_lr_factor={factor}", "train.images=1000"), 1000)
        optimizer = torch.optim.AdamW(nn.Linear(2, 2).parameters(), lr=1.0)
        rates.append(recipe.schedule(optimizer).get_last_lr())
    assert rates[0] == rates[1] and rates[0][0] > 0
