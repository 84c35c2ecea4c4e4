"""Which processes belong to a project under test, what each of them is, and killing them."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import psutil

from benchmarks.chaos.world import MARK

ROLES = {
    "flow": ("flows.pipeline", "at_state.py", "bare.py", "prefect.engine"),
    "dvc": ("flows.dvc_process",),
    "stage": ("soda",),
}


def of(world: Path) -> list[psutil.Process]:
    """The living processes that were started for `world`, by whatever parent."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == str(world):
                found.append(process)
    return found


def role(process: psutil.Process) -> str:
    """flow, dvc, stage, server, worker, or ""."""
    with contextlib.suppress(psutil.Error):
        words = process.cmdline()[1:5]
        line = " ".join(words)
        if "multiprocessing" in line:  # of a stage, which has a fork server, too
            return ""
        if words[:4] == ["-m", "prefect", "server", "start"] or "flows.server" in line or "prefect.server" in line:
            return "server"
        if "flows.worker" in line:
            return "worker"
        for name, marks in ROLES.items():
            if any(mark in line if mark != "soda" else words[:2] == ["-m", "soda"] for mark in marks):
                return name
    return ""


def kill(processes: list[psutil.Process]) -> int:
    """SIGKILL to each; returns how many were there to be killed."""
    killed = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
            killed += 1
    return killed


def orphans(world: Path, seconds: float = 15.0, spared: tuple[str, ...] = ()) -> list[str]:
    """What still lives of `world` after that time, but for the roles that are spared."""
    deadline = time.monotonic() + seconds
    while True:
        left = [each for each in of(world) if role(each) not in spared]
        if not left or time.monotonic() > deadline:
            return [f"orphan {each.pid}: {role(each) or 'other'}" for each in left]
        time.sleep(0.25)
