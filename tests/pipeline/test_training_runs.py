"""Whole training runs through the command line: killed, stopped, diverged, shared by two processes."""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
import yaml
from safetensors.numpy import load_file

from soda.config import Config, to_dict, write_params
from soda.data.gate.validate import validate
from soda.model.batch import LossDraws, ViewBatch
from soda.model.network import SodaNetwork, build_model
from soda.training.distributed import ALONE, Processes, processes
from tests.support.prepared_factory import make_prepared
from tests.support.settings import ROOT, make_config

RUN = ("train.images=1280", "train.checkpoint_every_images=160", "train.log_every_images=320", "model.dropout=0.1", "gate=folder")
COMMAND = [sys.executable, "-m", "soda"]


@functools.cache
def validated() -> Path:
    """Prepared data with the gate's own verdict on it, made once."""
    folder = Path(tempfile.mkdtemp(prefix="soda-validated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    make_prepared(folder / "data" / "prepared", n=300, size=16, channels=1)
    reports = folder / "reports"
    validate(make_config("gate=folder").gate, folder / "data" / "prepared", reports / "validation.json", reports / "data_docs")
    return folder


def project(folder: Path, *overrides: str) -> Path:
    """A folder with params.yaml, prepared data and a passing verdict on it."""
    shutil.copytree(validated(), folder)
    write_params(to_dict(make_config(*RUN, *overrides)), folder / "params.yaml")
    return folder


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def train(folder: Path, launcher: list[str] = COMMAND) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*launcher, "train"], cwd=folder, env=environment(), capture_output=True, text=True, timeout=240)


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([*COMMAND, "train"], cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True)


def wait_for_checkpoint(folder: Path, process: subprocess.Popen[str], since: float) -> None:
    """Until the run writes a checkpoint later than `since`, or ends."""
    deadline = time.time() + 120
    while time.time() < deadline and process.poll() is None:
        if any(p.stat().st_mtime > since for p in folder.glob("runs/*/checkpoint.pt")):
            return
        time.sleep(0.01)


def weights(folder: Path) -> dict[str, bytes]:
    tensors = load_file(folder / "models" / "soda" / "model.safetensors")
    return {name: tensor.tobytes() for name, tensor in tensors.items()}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run left alone."""
    folder = project(tmp_path_factory.mktemp("straight") / "run")
    done = train(folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_run_killed_at_random_moments_ends_in_the_same_bits(straight: Path, tmp_path: Path) -> None:
    folder = project(tmp_path / "killed")
    seed = random.SystemRandom().randrange(10**6)
    moments = random.Random(seed)
    kills = 0
    for _ in range(3):
        process = start(folder)
        wait_for_checkpoint(folder, process, time.time())
        time.sleep(moments.uniform(0, 0.3))
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    done = train(folder)
    assert done.returncode == 0, done.stderr
    assert kills >= 1
    assert weights(folder) == weights(straight), f"seed of the moments: {seed}"
    curves = Path("reports/live/plots/metrics/loss.tsv")
    rows, wanted = ((f / curves).read_text().splitlines() for f in (folder, straight))
    assert [r.split("\t")[-2:] for r in rows] == [r.split("\t")[-2:] for r in wanted]


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_asked_to_stop_saves_and_goes_on(straight: Path, tmp_path: Path, sign: signal.Signals, code: int) -> None:
    folder = project(tmp_path / "stopped", "train.checkpoint_every_images=320")
    process = start(folder)
    wait_for_checkpoint(folder, process, 0)
    process.send_signal(sign)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors
    assert "saved in runs" in errors and not (folder / "models").exists()
    again = train(folder)
    assert again.returncode == 0 and "going on from" in again.stderr
    assert weights(folder) == weights(straight)


def test_a_finished_run_is_not_trained_again_until_its_result_is_recorded(straight: Path, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    shutil.copytree(straight, folder)
    shutil.rmtree(folder / "models")  # as DVC removes what it never committed
    done = train(folder)
    assert done.returncode == 0 and "going on from" in done.stderr and "at 1280 images" in done.stderr
    assert weights(folder) == weights(straight)
    md5 = hashlib.md5((folder / "reports/train.json").read_bytes()).hexdigest()
    lock = {"schema": "2.0", "stages": {"train": {"outs": [{"path": "reports/train.json", "md5": md5}]}}}
    (folder / "dvc.lock").write_text(yaml.safe_dump(lock))
    done = train(folder)
    assert done.returncode == 0 and "going on from" not in done.stderr
    assert weights(folder) == weights(straight)


def test_a_loss_that_is_no_number_stops_the_run_with_step_and_checkpoint(tmp_path: Path) -> None:
    folder = project(tmp_path / "nan", "train.lr=1e30", "train.warmup_images=0", "train.checkpoint_every_images=32")
    done = train(folder)
    assert done.returncode == 1
    assert "the loss became" in done.stderr and "at step" in done.stderr and "Traceback" not in done.stderr


def test_a_last_step_that_breaks_the_network_is_no_success(tmp_path: Path) -> None:
    folder = project(tmp_path / "last", "train.lr=1e30", "train.warmup_images=0", "train.images=16", "train.batch_size=16")
    done = train(folder)
    assert done.returncode == 1 and "became nan at step 1" in done.stderr and "there was no checkpoint yet" in done.stderr
    assert not (folder / "models/soda").exists() and not (folder / "reports/train.json").exists()


def test_an_unused_latent_fails_loudly(tmp_path: Path) -> None:
    folder = project(tmp_path / "unused", "train.usage_check_images=320", "train.min_usage_gap=50.0")
    done = train(folder)
    assert done.returncode == 1 and "the latent is not used" in done.stderr and "train.min_usage_gap" in done.stderr
    assert not (folder / "models").exists() and list(folder.glob("runs/*/checkpoint.pt"))
    again = train(folder)  # goes on from the checkpoint that the first left, and is judged alike
    assert again.returncode == 1 and "the latent is not used" in again.stderr and not (folder / "models").exists()


def test_a_corrupt_checkpoint_is_named(tmp_path: Path) -> None:
    folder = project(tmp_path / "corrupt")
    process = start(folder)
    wait_for_checkpoint(folder, process, 0)
    process.kill()
    process.communicate()
    (checkpoint,) = folder.glob("runs/*/checkpoint.pt")
    for file in checkpoint.parent.iterdir():  # the one before it, too, when there was time for one
        file.write_bytes(file.read_bytes()[:1000])
    done = train(folder)
    assert done.returncode == 1 and str(checkpoint.relative_to(folder)) in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("tampering", ["manifest", "verdict", "no verdict"])
def test_nothing_gets_round_the_gate(tmp_path: Path, tampering: str) -> None:
    folder = project(tmp_path / "tampered")
    if tampering == "manifest":
        manifest = folder / "data/prepared/manifest.parquet"
        manifest.write_bytes(manifest.read_bytes() + b" ")
    elif tampering == "verdict":
        verdict = folder / "reports/validation.json"
        verdict.write_text(verdict.read_text().replace('"success": true', '"success": false'))
    else:
        (folder / "reports/validation.json").unlink()
    done = train(folder)
    assert done.returncode == 1 and "Traceback" not in done.stderr and not (folder / "runs").exists()


def frozen_model(config: Config) -> SodaNetwork:
    """A model whose batch statistics are frozen and whose modulations are awake, so that gradients reach the encoder."""
    torch.manual_seed(0)
    model = build_model(config).eval()
    torch.nn.init.normal_(model.denoiser.conv_out.weight, std=0.1)
    for block in (*model.denoiser.down, model.denoiser.middle, *model.denoiser.up):
        torch.nn.init.normal_(block.modulation.from_latent.weight, std=0.3)
    return model


def gradients(network: torch.nn.Module, model: SodaNetwork, part: slice, team: Processes = ALONE) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, noise = torch.rand(8, 1, 16, 16, generator=generator) * 2 - 1, torch.randn(8, 1, 16, 16, generator=generator)
    t = torch.randint(1, 51, (8,), generator=generator)
    loss = network(ViewBatch.of(x)[part], LossDraws(t, noise)[part])
    loss.backward()
    team.average(list(model.parameters()), loss.detach())
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def one_of_two(rank: int, port: int, config: Config, out: str) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    with processes("cpu") as team:
        model = frozen_model(config)
        found = gradients(team.wrap(model), model, team.share(8), team)
        if team.leads:
            torch.save(found, out)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def test_two_processes_give_the_gradients_of_one(tmp_path: Path) -> None:
    config = make_config()
    out = tmp_path / "gradients.pt"
    mp.spawn(one_of_two, args=(free_port(), config, str(out)), nprocs=2)
    model = frozen_model(config)
    whole, shared = gradients(model, model, slice(0, 8)), torch.load(out, weights_only=True)
    assert whole.keys() == shared.keys() and any(name.startswith("encoder") and g.abs().max() > 0 for name, g in whole.items())
    for name, gradient in whole.items():
        torch.testing.assert_close(shared[name], gradient, atol=1e-6, rtol=1e-4)


def test_torchrun_trains_with_two_processes(tmp_path: Path) -> None:
    folder = project(tmp_path / "two", "train.images=320")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port()}", "-m", "soda"]
    done = train(folder, launcher)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (folder / "models/soda/model.safetensors").exists()


def test_the_stage_starts_its_own_processes_which_stop_together_and_go_on(tmp_path: Path) -> None:
    folder = project(tmp_path / "own", "train.processes=2", "train.images=960")
    process = start(folder)
    wait_for_checkpoint(folder, process, 0)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143 and errors.count("saved in runs") == 1 and "Traceback" not in errors, errors
    again = train(folder)
    assert again.returncode == 0 and again.stderr.count("going on from") == 1, again.stderr
    figures = json.loads((folder / "reports/train.json").read_text())["train"]
    assert (figures["processes"], figures["threads"], figures["images"]) == (2, 1, 960)
