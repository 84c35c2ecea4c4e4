"""Which process a number stands for: numbers are given again, soon after a container's restart, and so their start counts too."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from soda.common.files import whole_file

RUN_ID = "PREFECT__FLOW_RUN_ID"  # what Prefect puts into the environment of a worker's run
RWLOCK = Path(".dvc/tmp/rwlock")  # DVC's record of who reads and writes which path: numbers of processes and their commands
_CLOCK_SECONDS = 2.0  # between the clock of files and that of processes


def start_of(pid: int) -> str | None:
    """What tells this process from another of its number: its start, and the boot that this counts from. None: there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{status.rpartition(')')[2].split()[19]}"
    except OSError:
        pass
    try:  # no Linux
        return str(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def is_same(pid: object, start: object) -> bool:
    """Whether the process `pid` that began at `start` lives; without a start any process of that number counts."""
    if not isinstance(pid, int) or isinstance(pid, bool):
        return False
    now = start_of(pid)
    return now is not None and (start is None or start == now)


def clear_dead_locks(root: Path) -> list[str]:
    """Take out of DVC's rwlock what processes left that are gone, and the file itself when it is cut off.

    DVC looks at the number alone and waits for a stranger that got it. The caller holds the workspace, so that no other run of
    ours is at work; a `dvc` that a person started keeps its entries. Returns a sentence on each process.
    """
    path = root / RWLOCK
    if not path.exists():
        return []
    with _guarded(path):
        written = path.stat().st_mtime
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            holders = [("write", held, info) for held, info in record.get("write", {}).items()]
            holders += [("read", held, info) for held, infos in record.get("read", {}).items() for info in infos]
            gone = [(mode, held, info) for mode, held, info in holders if not _holds(info, written)]
        except (ValueError, AttributeError, KeyError, TypeError):
            path.unlink()
            return [f"{path}: cut off, as by a kill; removed, as no run is at work here"]
        if not gone:
            return []
        kept: dict[str, dict[str, Any]] = {"write": {}, "read": {}}
        for mode, held, info in holders:
            if (mode, held, info) not in gone:
                kept[mode] |= {held: info} if mode == "write" else {held: [*kept["read"].get(held, []), info]}
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(kept), encoding="utf-8")
    dead = {info["pid"]: info["cmd"] for _, _, info in gone}
    return [f"{path}: the process {pid} that locked data here ({command}) is gone; unlocked" for pid, command in dead.items()]


def _holds(info: dict[str, Any], written: float) -> bool:
    """Whether the process of an entry is the one that wrote it, at `written` or before."""
    try:
        process = psutil.Process(int(info["pid"]))
        command, started = " ".join(process.cmdline()), process.create_time()
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # another person's
        return True
    # DVC noted sys.argv, whose end is the end of the command line as well.
    return started <= written + _CLOCK_SECONDS and command.split(" ")[-1] == str(info["cmd"]).split(" ")[-1]


@contextlib.contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """As DVC guards its edits of that file."""
    with path.with_name(f"{path.name}.lock").open("a+") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # given back with the file
        yield
