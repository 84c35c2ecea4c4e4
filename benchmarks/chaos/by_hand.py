"""Rounds of `make pipeline`: killed some times, perhaps under a misfortune, then given once more."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import psutil

from benchmarks.chaos import processes, world
from benchmarks.chaos.aims import AIMED, CHECKPOINT, Aim, draw
from benchmarks.chaos.misfortunes import MISFORTUNES
from benchmarks.chaos.sameness import Undisturbed
from benchmarks.chaos.server import Server
from benchmarks.chaos.tally import Round

_WEIGHTS = {"fetch": 5, "prepare": 6, "validate": 4, "train": 7, "evaluate": 1, "export": 1, "report": 5}
_AIMS = (*AIMED, "random", "random", "random")


class ByHand:
    """Rounds in the folder `place`, from copies in `snapshots` of which `same[stage]` knows the undisturbed result."""

    def __init__(
        self, place: Path, snapshots: dict[str, Path], same: dict[str, Undisturbed], times: dict[str, float], server: Server
    ) -> None:
        self._place, self._snapshots, self._same, self._times, self._server = place, snapshots, same, times, server

    def round(self, done: Round, draws: random.Random, kills: int, misfortune: str | None = None) -> None:
        """Kill `kills` times, let one misfortune happen, give the same command again, look."""
        stage = draws.choices(list(self._snapshots), [_WEIGHTS[each] for each in self._snapshots])[0]
        here = world.copy(self._snapshots[stage], self._place / "world")
        for _ in range(kills):
            kind = draws.choice(_AIMS)
            if kind == CHECKPOINT and stage != "train":
                kind = "random"
            aim = draw(kind, draws)
            if not self._kill(here, stage, aim, draws):
                break  # the stage is done, and there is nothing left to kill
            done.kill(aim.name, stage, aim.kind in AIMED)
        if misfortune is None:
            done.wrong = self._recover(here, stage)
        else:
            done.others.append(misfortune)
            with MISFORTUNES[misfortune](here, lambda: self._run(here, stage)) as more:
                done.wrong = self._recover(here, stage, **more)

    def _run(self, here: Path, stage: str, **more: str) -> tuple[int, str]:
        return world.run(here, stage, self._server.url, self._server.auth, **more)

    def _recover(self, here: Path, stage: str, **more: str) -> list[str]:
        status, words = self._run(here, stage, **more)
        wrong = [f"status {status}: {words[-600:]}"] if status else []
        wrong += processes.orphans(here)
        wrong += self._same[stage].differences(here)
        return wrong + locks(here) + self._open_runs(here)

    def _open_runs(self, here: Path) -> list[str]:
        """Runs of this workspace that Prefect still thinks are at work."""
        record = json.loads((here / ".dvc/tmp/pipeline.json").read_text())
        runs = [*record.get("unreported", []), record["run"]]
        return [f"run {run} is still open" for run in runs if self._server.is_open(UUID(run))]

    def _kill(self, here: Path, stage: str, aim: Aim, draws: random.Random) -> bool:
        """One kill. False when the run ended before its moment came."""
        fired = here / ".dvc/fired"
        fired.unlink(missing_ok=True)
        start, sooner = world.command(stage), 1.0
        if aim.nth_state:
            start = [sys.executable, str(Path(__file__).with_name("at_state.py")), *aim.nth_state, str(fired), *start[3:]]
        elif draws.random() < 0.6:
            start = [sys.executable, str(Path(__file__).with_name("bare.py")), stage]
            sooner = 0.4
        more = {"PREFECT_API_URL": self._server.url, "PREFECT_API_AUTH_STRING": self._server.auth, **aim.environment(fired, here)}
        began, hit, limit = time.monotonic(), False, sooner * aim.share * self._times[stage] if aim.role else 240.0
        run = subprocess.Popen(
            start,
            cwd=here,
            env=world.environment(here, **more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while run.poll() is None and not fired.exists() and time.monotonic() - began < limit:
            time.sleep(0.02)
        if fired.exists():
            hit = True
            if aim.whole:
                processes.kill(processes.of(here))
        elif run.poll() is None:
            alive = processes.of(here)
            hit = bool(
                processes.kill(
                    [each for each in alive if aim.whole or processes.role(each) == aim.role] or [psutil.Process(run.pid)]
                )
            )
        try:
            run.wait(timeout=120)  # a run whose stage was killed ends by itself
        except subprocess.TimeoutExpired:
            processes.kill(processes.of(here))
            run.wait()
        processes.orphans(here)  # those that are left save and end; what does not is seen at the round's end
        return hit


def locks(here: Path) -> list[str]:
    """Locks and half-written files that were left."""
    rwlock = here / ".dvc/tmp/rwlock"
    held = json.loads(rwlock.read_text()) if rwlock.exists() and rwlock.read_text().strip() else {}
    left = [f"rwlock holds {name}" for name, entries in held.items() if entries]
    halves = [path for path in here.rglob(".*") if ".new-" in path.name or ".old-" in path.name]
    return left + [f"{path.relative_to(here)} was left" for path in halves if "runs" not in path.parts]
