"""A project of 200 images of 16 px in a Git repository of its own, and copies of it from after each stage."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
STAGES = ("fetch", "prepare", "validate", "train", "evaluate", "export", "report")
PARTS = (
    "soda",
    "flows",
    "conf",
    "deploy",
    ".dvc",
    "stage",
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
    "prefect.yaml",
    "prefect.toml",
)
IMAGES = 200
SETTINGS = (
    "dataset=folder dataset.path=pictures dataset.image_size=16 train=smoke train.images=256 train.checkpoint_every_images=64 "
    "train.log_every_images=64 train.processes=1 train.threads=1 model.encoder_width=8 model.latent_dim=15 model.channels=8 "
    "model.head_dim=8 model.channel_mult=[1,2] model.time_dim=16 diffusion.sampling_steps=2 evaluate.supervised=false "
    "evaluate.untrained_draws=1 evaluate.curve_images=2 evaluate.exact_images=2 evaluate.reader_images=640 "
    "evaluate.vae_share=0.05 evaluate.view_regressor_images=0 evaluate.reconstructions=8 evaluate.fid_images=8 "
    "export.int8=false export.features=false"
)
MARK = "SODA_CHAOS"  # in the environment of all that a world starts: whose it is


def environment(world: Path, **more: str) -> dict[str, str]:
    """For a process of the project `world`."""
    quiet = {
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    place = {"PYTHONPATH": str(world), "SODA_PYTHON": sys.executable, "PREFECT_HOME": str(world / ".prefect"), MARK: str(world)}
    narrow = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "FAKETIME", "LD_PRELOAD"))}
    return {**kept, **quiet, **place, **narrow, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost", **more}


def pictures(folder: Path, seed: int = 0) -> None:
    """Two classes that a probe can tell apart."""
    draws = np.random.default_rng(seed)
    for number in range(IMAGES):
        image = draws.integers(0, 64, (16, 16, 3), np.uint8)
        image[:, :, number % 2] += 128
        path = folder / "ab"[number % 2] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


def bring_code(world: Path) -> None:
    """The project's own code and settings as they are now, not committed."""
    listed = subprocess.run(["git", "ls-files", "-z", "--", *PARTS], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        target = world / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)


def lay_out(world: Path) -> None:
    """A project in which nothing has run, in Git: what runs make names the commit."""
    pictures(world / "pictures")
    bring_code(world)
    compose = [sys.executable, "-m", "soda", "compose", *SETTINGS.split()]
    subprocess.run(compose, cwd=world, env=environment(world), check=True, capture_output=True)
    identity = ["-c", "user.name=chaos", "-c", "user.email=chaos@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "chaos"]):
        subprocess.run(["git", *identity, *arguments], cwd=world, check=True, capture_output=True)


def copy(source: Path, target: Path) -> Path:
    """`target` becomes what `source` is, with times and links."""
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
    return target


def command(until: str) -> list[str]:
    """What `make pipeline` runs, up to a stage."""
    return [sys.executable, "-m", "flows.pipeline", "--until-stage", until]


def run(world: Path, until: str, url: str, auth: str, seconds: float = 300, **more: str) -> tuple[int, str]:
    """The documented step. Returns its exit status and its words; 124 when it took longer than that."""
    settings = environment(world, PREFECT_API_URL=url, PREFECT_API_AUTH_STRING=auth, **more)
    with subprocess.Popen(
        command(until),
        cwd=world,
        env=settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            words, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return 124, process.communicate()[0]
    return process.returncode, words
