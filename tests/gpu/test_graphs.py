"""On a GPU: a step as a graph is the step itself, and runs that share the card do not touch one another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from soda.config import compose, from_dict
from soda.data.dataset import PreparedData
from soda.data.pairs import find_partners
from soda.training.batches import Reader
from soda.training.resident import BLOCK, Resident, ResidentRun
from soda.training.step import start_run
from tests.support.prepared_factory import make_prepared

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

SMALL = ["dataset.channels=3", "model.channels=16", "model.encoder_width=16", "model.latent_dim=64", "train.batch_size=32"]
PAPER_VIEWS = ["views=paper", "views.source.crop_prob=0.95", "diffusion.schedule=inverted", "diffusion.prediction=eps"]


def begin(tmp_path: Path, overrides: list[str]) -> ResidentRun:
    folder = tmp_path / "prepared"
    if not folder.exists():
        make_prepared(folder, n=600, size=32, channels=3)
    config, data, device = from_dict(compose([*SMALL, *overrides])), PreparedData(folder), torch.device("cuda")
    split = data.split("train")
    reader = Reader(split, find_partners(data, split, config.views.pairs), config.train)
    return ResidentRun(start_run(config, "gpu", device), config, reader, Resident.of(split, device))


@pytest.mark.parametrize("overrides", [[], ["train.optimizer=adamw"], PAPER_VIEWS, ["train.precision=bf16"]], ids=str)
def test_a_graph_is_the_step_itself(tmp_path: Path, overrides: list[str]) -> None:
    eager, graph = begin(tmp_path, overrides), begin(tmp_path, overrides)
    graph.capture()
    losses = []
    for each in (eager, graph):
        each.advance(BLOCK)
        losses.append(each.read_losses())
    torch.testing.assert_close(losses[1][:8], losses[0][:8], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(losses[1].mean(), losses[0].mean(), rtol=0.05, atol=0.02)
    assert losses[1][-8:].mean() < losses[1][:8].mean()


def test_runs_side_by_side_are_those_runs_alone(tmp_path: Path) -> None:
    seeds = [[f"train.seed={seed}"] for seed in range(4)]
    alone = []
    for seed in seeds:
        run = begin(tmp_path, seed)
        run.capture()
        run.advance(BLOCK)
        alone.append(run.read_losses())
    together = [begin(tmp_path, seed) for seed in seeds]
    for run in together:
        run.capture()
    for _ in range(BLOCK // 4):
        for run in together:
            run.advance(4)
    for run, losses in zip(together, alone, strict=True):
        torch.testing.assert_close(run.read_losses()[:16], losses[:16], rtol=5e-3, atol=5e-3)
    assert not torch.equal(alone[0], alone[1])
