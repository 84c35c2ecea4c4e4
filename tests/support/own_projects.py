"""What tests of `soda new` share: pictures to make a project of, and commands that are run in it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
AUTHOR = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "A"), ("EMAIL", "a@b.c"))}
"""Who commits, for Git's environment."""

MICRO = shlex.split(
    "dataset.image_size=16 train=smoke train.images=256 train.processes=1 train.threads=1 model.encoder_width=8 model.channels=8 "
    "model.head_dim=8 model.channel_mult=[1,2] model.time_dim=16 diffusion.sampling_steps=2 evaluate.supervised=false "
    "evaluate.untrained_draws=1 evaluate.curve_images=2 evaluate.exact_images=2 evaluate.reader_images=640 "
    "evaluate.vae_share=0.05 evaluate.view_regressor_images=0 evaluate.reconstructions=8 evaluate.fid_images=8 "
    "export.int8=false export.features=false"
)
"""Settings with which all stages take seconds."""


def run(*command: object, cwd: Path, python_path: str | None = str(ROOT)) -> str:
    """What a command printed. It runs with the package of `python_path`; None: with the one that its Python has."""
    started = start(*command, cwd=cwd, python_path=python_path)
    out, err = started.communicate()
    assert started.returncode == 0, f"{command}: {out}{err}"
    return out


def start(*command: object, cwd: Path, python_path: str | None = str(ROOT), **more: str) -> subprocess.Popen[str]:
    """The same, not waited for. more: of the environment."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    environment |= {"SODA_PYTHON": sys.executable} | ({"PYTHONPATH": python_path} if python_path else {})
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*map(str, command)], cwd=cwd, env=environment | more, **pipes)  # type: ignore[call-overload]


def album(folder: Path, count: int = 24) -> Path:
    """A folder of `count` small pictures in two folders."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / "ab"[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    return folder
