"""Training by several processes: it learns what one learns, goes on with another number of them, and ends when one is lost."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from soda.common.cores import usable_cores
from soda.data.dataset import PreparedData
from soda.training.checkpoint import load_checkpoint
from soda.training.distributed import ALONE, LostProcessError, Processes, Rendezvous, processes
from soda.training.helpers import with_helpers
from soda.training.launch import Way, most_processes, plan
from soda.training.loop import fit
from soda.training.shared_norm import SharedBatchNorm
from soda.training.step import Run, start_run
from soda.training.tune import choose, multiplies_bf16, tuned
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config

SIX = (
    "train.batch_size=24",
    "train.images=240",
    "train.log_every_images=48",
    "train.checkpoint_every_images=24",
    "train.warmup_images=0",
    "train.batch_statistics=whole",
)
"""Ten steps of batches that one, two and three processes can share, and that BatchNorm sees whole."""


def steps(
    folder: str, overrides: tuple[str, ...], last: int, start: str | None, fate: str = "", meeting: Rendezvous | None = None
) -> dict[str, Any]:
    """Train to step `last` from a checkpoint that the leading process alone has, and tell how it went.

    fate: "killed" ends the last process by SIGKILL in the middle of step 6.
    """
    with processes("cpu", meeting) as team:
        return steps_of(team, folder, overrides, last, start, fate)


def steps_of(
    team: Processes, folder: str, overrides: tuple[str, ...], last: int, start: str | None, fate: str = ""
) -> dict[str, Any]:
    config = make_config("dataset.channels=1", *overrides, f"train.images={24 * last}", "train.lr_decay=none")
    data = PreparedData(Path(folder) / "prepared")
    run = start_run(config, "key", team.device)
    state = team.from_lead(lambda: load_checkpoint(Path(start), "key") if start else None)
    if state is not None:
        run.restore(state)
    if fate == "killed" and team.rank == team.count - 1:
        kill_in_step(run, 6)
    checkpoint = Path(folder) / f"of-{team.rank}" / "checkpoint.pt"
    fit(config, data, run, team, checkpoint, Path(folder) / "live")
    same = team.from_lead(lambda: digest(run)) == digest(run)
    return {
        "rows": run.rows,
        "model": run.ema.state_dict(),
        "step": run.step,
        "same": not team.any(not same),
        "start": checkpoint,
    }


def digest(run: Run) -> float:
    return sum(float(t.double().abs().sum()) for t in run.model.state_dict().values())


def kill_in_step(run: Run, step: int) -> None:
    """End this process without a word while it computes the step's gradients."""

    def die(*_: object) -> None:
        if run.step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    run.model.denoiser.register_forward_hook(die)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("processes")
    make_prepared(root / "prepared", n=120, size=16, channels=1)
    return root


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, Any]:
    """What one process learns, of views that are cropped and drawn again where they came out the same."""
    torch.set_num_threads(1)
    return steps(str(folder), (*SIX, "views=paper"), 10, None)


def losses(found: dict[str, Any]) -> list[float]:
    return [row[key] for row in found["rows"] for key in ("loss", "val_loss")]


def assert_same_run(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert [row["images"] for row in found["rows"]] == [row["images"] for row in wanted["rows"]]
    assert losses(found) == pytest.approx(losses(wanted), rel=1e-4)
    assert found["same"], "the processes' weights have parted"
    for name, tensor in wanted["model"].items():
        torch.testing.assert_close(found["model"][name].float(), tensor.float(), atol=2e-3, rtol=2e-3, msg=name)


@pytest.fixture(scope="module")
def two(folder: Path) -> dict[str, Any]:
    """What two processes did, in one start of them."""
    return with_helpers(both, 2, 1, (str(folder),))


def both(folder: str, meeting: Rendezvous | None = None) -> dict[str, Any]:
    with processes("cpu", meeting) as team:
        own = steps_of(team, folder, (*SIX, "views=paper", "train.batch_statistics=own"), 2, None)
        norm = normalised(team)
        return {"own": own, "norm": norm, "whole": steps_of(team, folder, (*SIX, "views=paper"), 10, None)}


def test_two_processes_learn_what_one_learns(two: dict[str, Any], alone: dict[str, Any]) -> None:
    assert_same_run(two["whole"], alone)


def test_a_run_goes_on_with_another_number_of_processes_from_the_leads_checkpoint_alone(
    folder: Path, alone: dict[str, Any]
) -> None:
    start = None
    for count, last in ((2, 4), (1, 6), (3, 10)):
        found = with_helpers(steps, count, 1, (str(folder), (*SIX, "views=paper"), last, start))
        assert found["step"] == last
        assert [p.name for p in folder.glob("of-*")] == ["of-0"]  # the others write nothing
        start = str(found["start"])
    assert_same_run(found, alone)


def test_each_process_may_have_statistics_of_its_own(two: dict[str, Any]) -> None:
    assert two["own"]["step"] == 2 and not two["own"]["same"]
    name = "encoder.stem.0.1.running_mean"
    assert not torch.equal(two["own"]["model"][name], two["whole"]["model"][name])


def test_a_lost_process_ends_the_run_with_a_checkpoint_of_the_last_whole_step(folder: Path, alone: dict[str, Any]) -> None:
    began = time.monotonic()
    with pytest.raises(LostProcessError, match=r"stopped at 144 of 240 images and saved in .*checkpoint\.pt; the same command"):
        with_helpers(steps, 2, 1, (str(folder), (*SIX, "views=paper", "train.checkpoint_every_images=240"), 10, None, "killed"))
    assert time.monotonic() - began < 120
    found = with_helpers(steps, 1, 1, (str(folder), (*SIX, "views=paper"), 10, str(folder / "of-0/checkpoint.pt")))
    assert_same_run(found, alone)


def never_there(meeting: Rendezvous | None = None) -> None:
    raise AssertionError("nobody may get here")


def test_a_helper_that_cannot_start_is_said_and_not_waited_for() -> None:
    with pytest.raises(LostProcessError, match=r"process 1 of 2 ended \(exit code 1\) before training began"):
        with_helpers(never_there, 2, 1, (Unreadable(),))


class Unreadable:
    """Cannot be made again in another process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("not a number",)


def normalised(team: Processes) -> dict[str, Any]:
    """Output, gradients and running statistics of a BatchNorm over eight images."""
    torch.manual_seed(0)
    x, slopes = 3 + 2 * torch.randn(8, 5, 4, 4), torch.randn(8, 5, 4, 4)
    plain = nn.BatchNorm2d(5)
    nn.init.normal_(plain.weight)
    layer = SharedBatchNorm(plain, team) if team.count > 1 else plain
    mine = x[team.share(8)].to(memory_format=torch.channels_last).requires_grad_()
    y = layer(mine)
    (team.count * (y * slopes[team.share(8)]).sum()).backward()
    assert mine.grad is not None and layer.weight.grad is not None and layer.bias.grad is not None
    weights, dx, y = torch.stack((layer.weight.grad, layer.bias.grad)), mine.grad, y.detach()
    if team.count > 1:
        y, dx, weights = team.gather(y).flatten(0, 1), team.gather(dx).flatten(0, 1) / team.count, team.gather(weights).mean(0)
    return {"y": y, "dx": dx, "weights": weights, "mean": layer.running_mean, "var": layer.running_var}


def test_batch_norm_over_processes_is_that_of_the_whole_batch(two: dict[str, Any]) -> None:
    for name, tensor in normalised(ALONE).items():
        torch.testing.assert_close(two["norm"][name], tensor, atol=1e-5, rtol=1e-4, msg=name)


def test_auto_is_a_process_a_core_where_nothing_else_was_asked_for() -> None:
    auto = make_config("train.processes=auto", "train.threads=0", "train.batch_size=64").train
    assert plan(auto, 2, on_cpu=True) == Way(2, 1, "fp32")
    assert plan(auto, 16, on_cpu=True) == Way(4, 4, "fp32")  # 16 images each, and no core left out
    assert plan(auto, 2, on_cpu=False) == plan(auto, 1, on_cpu=False) == Way(1, 0, "fp32")
    assert plan(make_config("train.processes=auto", "train.threads=2").train, 2, on_cpu=True) == Way(1, 2, "fp32")
    assert plan(make_config("train.processes=3", "train.threads=0").train, 2, on_cpu=True) == Way(3, 1, "fp32")
    assert plan(make_config("train.processes=1", "train.threads=0").train, 2, on_cpu=True) == Way(1, 0, "fp32")
    assert [most_processes(batch, cores) for batch, cores in ((64, 2), (64, 3), (33, 2), (16, 8), (48, 3))] == [2, 2, 1, 1, 3]


def test_usable_cores_are_those_that_the_process_is_bound_to() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system binds no process to a core")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_one_process_needs_no_fellow() -> None:
    alone = Processes(0, 1, torch.device("cpu"))
    loss = torch.tensor(2.0)
    assert alone.average([], loss) is loss and alone.any(True) and not alone.any(False) and alone.from_lead(lambda: 3) == 3


def test_the_fastest_way_is_measured_once_and_the_settings_own_is_kept_where_it_is_as_fast(tmp_path: Path) -> None:
    config = make_config("dataset.channels=1", "train.tune=on")
    asked = plan(config.train, 1, on_cpu=True)
    found = tuned(config, asked, tmp_path, seconds=0.1)
    (file,) = tmp_path.glob("tuned-*.json")
    rows = json.loads(file.read_text())
    assert {row["way"]["precision"] for row in rows} == ({"fp32", "bf16"} if multiplies_bf16() else {"fp32"})
    assert all(row["images_per_second"] > 0 for row in rows) and asdict(found) in [row["way"] for row in rows]
    other = Way(1, 1, "bf16")
    file.write_text(json.dumps([{"way": asdict(way), "images_per_second": rate} for way, rate in ((asked, 100), (other, 200))]))
    assert tuned(config, asked, tmp_path) == other  # what was kept is believed
    assert choose([(asked, 100), (other, 104)], asked) == asked
    assert choose([(asked, 100), (other, 106)], asked) == other
    assert choose([(other, 106)], asked) == other
