"""`python -m benchmarks.gpu --smoke`: every part of what is to run in one call on a GPU runs here, small, on the CPU."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu_speed import CUMULATIVE
from benchmarks.gpu_step import Trainer, random_pool
from benchmarks.gpu_world import World, compose_all
from soda.config import from_dict
from soda.training.step import optimise, start_run

CPU = torch.device("cpu")


def world_in(folder: Path) -> World:
    return World(CPU, compose_all(smoke=True), folder, folder / "work", None, True, time.perf_counter() + 250)


@pytest.mark.slow
def test_every_part_runs_and_leaves_its_figures(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    world = world_in(tmp_path)
    world.work.mkdir()
    gpu.run(world, list(gpu.PARTS))
    found = json.loads((tmp_path / "gpu.json").read_text())
    failed = {name: part["error"] for name, part in found.items() if isinstance(part, dict) and "error" in part}
    assert not failed
    assert set(gpu.PARTS) <= set(found)
    assert found["resume"]["largest_difference"] == 0  # both devices are the CPU
    assert all(found["parity"][name]["fp32, TF32 off"]["within"] for name in ("tiny", "cifar", "views"))
    assert found["throughput"]["cifar"]["bf16: loop's step"]["images_per_second"] > 0
    assert (tmp_path / "gpu.md").read_text().startswith("# One GPU")


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


def test_images_that_lie_on_the_device_give_the_very_steps_of_the_loop() -> None:
    config = from_dict(compose_all(smoke=True)["tiny"])
    pool = random_pool(config, 40)
    trainer, run = Trainer(config, pool, CPU, CUMULATIVE["+ images on the device"], precision="fp32"), start_run(config, "a", CPU)
    run.model.train()
    for step in range(3):
        trainer.step()
        pictures = torch.from_numpy(pool.pixels[pool.draw(step)[0]]).permute(0, 3, 1, 2).float() / 127.5 - 1
        optimise(run, run.model, config, pictures.contiguous(memory_format=torch.channels_last), 0)
    for mine, theirs in zip(trainer.run.ema.parameters(), run.ema.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-7)


def test_all_on_the_device_learns_as_the_loop_does() -> None:
    config = from_dict(compose_all(smoke=True)["tiny"])
    pool = random_pool(config, 40)
    losses = []
    for name in ("loop's step", "+ buffers of the EMA in one foreach"):
        trainer = Trainer(config, pool, CPU, CUMULATIVE[name], precision="fp32")
        for _ in range(30):
            trainer.step()
        losses.append(trainer.mean_loss())
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert np.isfinite(losses).all()
