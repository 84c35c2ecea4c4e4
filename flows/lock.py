"""One run at a time in a workspace: a lock file that the operating system frees when its holders are gone.

Beside it lies a record of the runs that worked here and whose end no server is known to have heard of: the next run in the
workspace, which knows that they are over, reports it.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.processes import RUN_ID, is_same, start_of
from soda.common.errors import SodaError
from soda.common.files import write_json

LOCK_FILE = Path(".dvc/tmp/pipeline.lock")
RECORD = Path(".dvc/tmp/pipeline.json")
PATIENCE = 120.0  # seconds that a worker's run waits for what holds the workspace briefly
_MOST_RUNS = 20  # of other servers, perhaps, that never come back


class WorkspaceBusyError(SodaError, RuntimeError):
    """Another run, or a stage that a killed run left behind, works in this workspace; the message names its process."""


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _busy(root: Path) -> WorkspaceBusyError:
    record, path = _read(root / RECORD), root / LOCK_FILE
    pid, run = record.get("pid"), record.get("run")
    if pid is None or is_same(pid, record.get("start")):
        return WorkspaceBusyError(f"another run is at work here (process {pid}, run {run}); wait for it or cancel it ({path})")
    return WorkspaceBusyError(
        f"the run {run} (process {pid}) is gone, but the stage that it started still works here; "
        f"wait for it, or see who holds it with: fuser -v {path}"
    )


def patience() -> float:
    """How long this run waits for the workspace, in seconds.

    A worker starts one such run at a time; what it may still meet is brief: a run that was cancelled and saves, the step that
    brings the workspace up to date for a run of the other queue, the reference of `monitor`. A person is told at once.
    """
    return PATIENCE if RUN_ID in os.environ else 0.0


@contextmanager
def workspace_lock(root: Path, run: str) -> Iterator[int]:
    """Hold the workspace `root` for the run with the id `run`. Raises WorkspaceBusyError when it is taken, after `patience()`.

    Yields the lock's descriptor, which DVC's process inherits, so that it is held for as long as a stage is at work.
    """
    path = root / LOCK_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as handle:
        until = time.monotonic() + patience()
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise _busy(root) from None
                time.sleep(0.2)
        before = _read(root / RECORD)
        open_ends = [each for each in [*before.get("unreported", []), before.get("run")] if isinstance(each, str)]
        record = {"pid": os.getpid(), "start": start_of(os.getpid()), "run": run}
        write_json(root / RECORD, {**record, "unreported": list(dict.fromkeys(open_ends))[-_MOST_RUNS:]})
        yield handle.fileno()


def abandoned_run(root: Path) -> str | None:
    """The id of the last run in the workspace `root`, when its process is gone; None while it lives, or where none was."""
    record = _read(root / RECORD)
    run, pid = record.get("run"), record.get("pid")
    return run if isinstance(run, str) and pid is not None and not is_same(pid, record.get("start")) else None


def settle_ends(root: Path, settle: Callable[[str], bool | None]) -> list[str]:
    """See to the runs that worked in this workspace before. The caller holds its lock, so all of them are over.

    settle: is called with a run's id and says whether it had to report its end; None when the server does not know it, which
        leaves it to another. Returns the ids of those whose end was reported now.
    """
    record = _read(root / RECORD)
    heard = {run: settle(run) for run in record.get("unreported", []) if run != record.get("run")}
    write_json(root / RECORD, {**record, "unreported": [run for run, answer in heard.items() if answer is None]})
    return [run for run, answer in heard.items() if answer]
