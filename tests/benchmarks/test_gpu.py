"""`python -m benchmarks.gpu --smoke`: every part of what is to run in one call on a GPU runs here, small, on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu_speed import ON_DEVICE, WAYS
from benchmarks.gpu_step import Trainer, reader_of
from benchmarks.gpu_world import World, compose_all, prepare_data
from soda.data.dataset import PreparedData
from soda.training.step import optimise, start_run

CPU = torch.device("cpu")
WITHOUT = """
import runpy, sys
for name in ("hydra", "omegaconf", "dvc", "dvclive", "great_expectations", "prefect"):
    sys.modules[name] = None  # as if it were not installed
runpy.run_module("benchmarks.gpu", run_name="__main__", alter_sys=True)
"""


def world_in(folder: Path) -> World:
    folder.mkdir(exist_ok=True)
    return World(CPU, compose_all(smoke=True), folder, folder, folder, True, time.perf_counter() + 250)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """With its data prepared."""
    world = world_in(tmp_path_factory.mktemp("gpu") / "work")
    prepare_data(world)
    return world


def test_every_part_runs_and_leaves_its_figures_with_little_installed(world: World, tmp_path: Path) -> None:
    settings, out = tmp_path / "settings.json", tmp_path / "out"
    settings.write_text(json.dumps({"True": world.settings}))
    command = [sys.executable, "-c", WITHOUT, "--smoke", "--device", "cpu", "--settings", str(settings)]
    subprocess.run([*command, "--work", str(world.work), "--out", str(out)], check=True, capture_output=True, timeout=250)
    found = json.loads((out / "gpu.json").read_text())
    failed = {name: part["error"] for name, part in found.items() if "error" in part}
    assert not failed
    assert set(gpu.PARTS) <= set(found)
    assert found["resume"]["largest_difference"] == 0  # both devices are the CPU
    assert all(found["parity"][name]["fp32, TF32 off"]["within"] for name in ("tiny", "cifar", "views"))
    rates = [row["images_per_second"] for rows in found["throughput"].values() for row in rows.values() if isinstance(row, dict)]
    assert len(rates) == 18 and min(rates) > 0
    assert (out / "gpu.md").read_text().startswith("# One GPU")


def test_a_part_that_fails_or_lasts_too_long_leaves_a_note_and_the_next_one_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(world: World) -> dict[str, float]:
        raise RuntimeError("no such kernel")

    def endless(world: World) -> dict[str, float]:
        world.results["endless"] = {"so far": 1.0}
        while True:
            time.sleep(0.01)

    parts = {"broken": (broken, 5.0), "endless": (endless, 1.2), "good": (lambda world: {"value": 2.0}, 5.0)}
    monkeypatch.setattr(gpu, "PARTS", parts)
    world = world_in(tmp_path)
    for name in parts:
        gpu.run_part(world, name)
    assert "no such kernel" in world.results["broken"]["error"]
    assert world.results["endless"]["so far"] == 1.0 and "are over" in world.results["endless"]["error"]
    assert json.loads((tmp_path / "gpu.json").read_text())["good"] == {"value": 2.0}


@pytest.mark.parametrize(("name", "data"), [("tiny", "fashion"), ("views", "objects")])
def test_images_that_lie_on_the_device_give_the_very_steps_of_the_loop(world: World, name: str, data: str) -> None:
    config = world.config(name, precision="fp32")
    reader = reader_of(config, PreparedData(world.work / data))
    trainer, run = Trainer(config, reader, CPU, WAYS["+ images on the device"]), start_run(config, "a", CPU)
    run.model.train()
    for step in range(3):
        trainer.step()
        optimise(run, run.model, config, reader.at(step))
    for mine, theirs in zip(trainer.run.ema.parameters(), run.ema.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-7)


@pytest.mark.parametrize(("name", "data"), [("tiny", "fashion"), ("views", "objects")])
def test_all_on_the_device_learns_as_the_loop_does(world: World, name: str, data: str) -> None:
    config = world.config(name, precision="fp32")
    reader, losses = reader_of(config, PreparedData(world.work / data)), []
    for fixes in (WAYS["loop's step"], ON_DEVICE):
        trainer = Trainer(config, reader, CPU, fixes)
        for _ in range(30):
            trainer.step()
        losses.append(trainer.mean_loss())
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


def test_a_run_that_begins_anew_takes_the_same_steps_again(world: World) -> None:
    config = world.config("tiny", precision="fp32")
    trainer, losses = Trainer(config, reader_of(config, PreparedData(world.work / "fashion")), CPU, WAYS["loop's step"]), []
    for _ in range(2):
        trainer.reset(config)
        for _ in range(3):
            trainer.step()
        losses.append(trainer.mean_loss())
    assert losses[0] == losses[1]
