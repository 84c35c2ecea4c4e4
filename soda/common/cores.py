"""What this process may use of the machine, and how it uses it. Nothing here loads torch."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h


def usable_cores() -> int:
    """Cores that this process may use: those it is bound to, or fewer where a container has a quota of processor time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
        return min(cores, max(1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # not Linux, another version of cgroups, or "max": no quota
        return cores


def in_order(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """What `work` makes of each item, in their order. `threads` are at work at once, as many wait: memory stays flat."""
    with ThreadPoolExecutor(threads) as pool:
        waiting = deque[Future[Result]]()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def wait_passively() -> None:
    """Threads that wait for others sleep in place of spinning, unless the environment says otherwise already.

    Spinning threads take the core from the very thread they wait for when another program wants a core, too. OpenMP reads this
    when it is loaded, so it must be called before torch is imported; processes that are started later inherit it.
    """
    for name, value in (("OMP_WAIT_POLICY", "PASSIVE"), ("KMP_BLOCKTIME", "0")):
        os.environ.setdefault(name, value)


def keep_freed_memory() -> None:
    """Freed memory stays with this process and is used again, where the C library is glibc.

    By default it goes back to the system each time, and a training step asks for the same activations again: some 14,000 page
    faults a step of the default model, about an eighth of its time. The numbers that are computed stay the same.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, (1 << 31) - 1), (_M_TOP_PAD, 64 << 20)):
            mallopt(option, value)
