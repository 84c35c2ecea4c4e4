"""What tests of `soda new` share: pictures to make a project of, and commands that are run in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
AUTHOR = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "A"), ("EMAIL", "a@b.c"))}
"""Who commits, for Git's environment."""


def run(*command: object, cwd: Path, python_path: str | None = str(ROOT)) -> str:
    """What a command printed. It runs with the package of `python_path`; None: with the one that its Python has."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    environment |= {"SODA_PYTHON": sys.executable} | ({"PYTHONPATH": python_path} if python_path else {})
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def album(folder: Path, count: int = 24) -> Path:
    """A folder of `count` small pictures in two folders."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / "ab"[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    return folder
