"""One run at a time in a workspace: a lock file that the operating system frees when its holders are gone."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from soda.common.errors import SodaError

LOCK_FILE = Path(".dvc/tmp/pipeline.lock")


class WorkspaceBusyError(SodaError, RuntimeError):
    """Another run, or a stage that a killed run left behind, works in this workspace; the message names its process."""


def _read(handle: IO[str]) -> dict[str, Any]:
    handle.seek(0)
    try:
        record = json.load(handle)
    except ValueError:  # empty: given back in good order
        return {}
    return record if isinstance(record, dict) else {}


def _alive(pid: object) -> bool:
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _busy(path: Path, record: dict[str, Any]) -> WorkspaceBusyError:
    pid, run = record.get("pid"), record.get("run")
    if pid is None or _alive(pid):
        return WorkspaceBusyError(f"another run is at work here (process {pid}, run {run}); wait for it or cancel it ({path})")
    return WorkspaceBusyError(
        f"the run {run} (process {pid}) is gone, but the stage that it started still works here; "
        f"wait for it, or see who holds it with: fuser -v {path}"
    )


@contextmanager
def workspace_lock(root: Path, run: str) -> Iterator[tuple[int, str | None]]:
    """Hold the workspace `root` for the run with the id `run`. Raises WorkspaceBusyError at once when it is taken.

    Yields the lock's descriptor, which a stage inherits, so that it is held for as long as the stage lives; and the id of the run
    that held it before and never gave it back, None when there is none.
    """
    path = root / LOCK_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(path, _read(handle)) from None
        before = _read(handle)
        handle.truncate(0)
        json.dump({"pid": os.getpid(), "run": run}, handle)
        handle.flush()
        try:
            yield handle.fileno(), before.get("run")
        finally:
            handle.truncate(0)
