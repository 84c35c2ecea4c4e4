"""What to say of a stage that ended by a signal: which, whether for want of memory, what is left of its work, what to do."""

from __future__ import annotations

import contextlib
import re
import resource
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_COUNTERS = ("/proc/vmstat", "/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
_OWN_MEANING = (signal.SIGINT, signal.SIGTERM)  # a stage that is asked to stop ends in 130 or 143 itself, and says why
_SHOWN = "runs/*/checkpoint.pt"


def kernel_kills() -> int:
    """How many processes Linux has killed so far because memory ran out, as far as it says."""
    total = 0
    for counter in _COUNTERS:
        with contextlib.suppress(OSError):
            total += sum(map(int, re.findall(r"^oom_kill (\d+)$", Path(counter).read_text(), re.M)))
    return total


def signal_of(status: int | None) -> signal.Signals | None:
    """The signal by which a command of that exit status ended, by itself or under a shell; None when it ended otherwise."""
    if status is None or not (status < 0 or status > 128):
        return None
    number = -status if status < 0 else status - 128
    if status > 0 and number in _OWN_MEANING:
        return None
    return signal.Signals(number) if number in signal.valid_signals() else None


@dataclass(frozen=True)
class Left:
    """What is said of the work of a process. state: where it left no checkpoint; cure: how it needs less memory; trains: whether
    it may have left one: else it is of a training beside it."""

    state: str = "It left no state; the results before it are as they were, and the same command runs it again"
    cure: str = "train.batch_size, evaluate.batch_size, dataset.workers"
    trains: bool = True


class Witness:
    """Begun before a process; says afterwards what is known of its death."""

    def __init__(self) -> None:
        self._kills, self._peak, self._since = kernel_kills(), peak_bytes(), time.time()

    def describe(self, sign: signal.Signals, root: Path, left: Left | None = None) -> str:
        """As `describe` does, once the process was waited for."""
        now = peak_bytes()
        facts: dict[str, Any] = {"starved": kernel_kills() > self._kills, "peak_bytes": now if now > self._peak else 0}
        return describe(sign, root, since=self._since, left=left or Left(), **facts)


def peak_bytes() -> int:
    """The most that any process that was started from here and ended held so far."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # KiB on Linux


_LEFT = Left()


def describe(sign: signal.Signals, root: Path, *, starved: bool, peak_bytes: int, since: float, left: Left = _LEFT) -> str:
    """One paragraph for a person.

    Args:
        starved: whether the kernel killed for want of memory meanwhile.
        peak_bytes: the most that a process of the stage held.
        since: when the stage began, seconds since the epoch.
    """
    said = f"killed by {sign.name}"
    if sign is signal.SIGKILL:
        held = f"; a process of it held up to {peak_bytes / 2**30:.1f} GB" if peak_bytes else ""
        said += " because memory ran out" + held if starved else ": somebody, or the system, ended it from outside"
    elif sign in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGABRT, signal.SIGFPE):
        said += ": a crash in native code, or a broken installation"
    saved = [file for file in root.glob(_SHOWN) if file.stat().st_mtime >= since] if left.trains else []
    if saved:
        last = max(saved, key=lambda file: file.stat().st_mtime)
        at = time.strftime("%H:%M:%S", time.localtime(last.stat().st_mtime))
        said += f". Its last state is {last.relative_to(root)}, of {at}; the same command goes on from there"
    else:
        said += f". {left.state}"
    if sign is signal.SIGKILL and starved:
        said += ". Free some memory first, or make it need less ({left.cure})"
    return said
