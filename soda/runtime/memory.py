"""How much memory is left, and who takes it: what many decode at once must have room together.

Whoever needs a large part of what is left waits for its turn, among the threads of a process and among the processes of a user.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

UNASKED = 100_000_000
"""Bytes for which it is not asked whether they are there."""
WAIT = 120.0
"""Seconds that one waits for its turn at most: who has it may keep an image for ever."""
_CONTAINER = Path("/sys/fs/cgroup")
_BESIDE = 4 * (os.cpu_count() or 1)  # where so many need as much, all have room: no turns
_turn = threading.Lock()


class _Mine(threading.local):
    """What this thread holds: the block of `until_done` that it is in, and whether it has the turn."""

    block: ExitStack | None = None
    has_turn = False


_mine = _Mine()


@contextmanager
def until_done() -> Iterator[None]:
    """What is taken inside stays taken until the block ends: around an image that is decoded, worked on and let go.

    A block within another is part of it.
    """
    if _mine.block is not None:
        yield
        return
    with ExitStack() as block:
        _mine.block = block
        try:
            yield
        finally:
            _mine.block = None


def take(needed: int) -> int | None:
    """Take so many bytes, waiting for its turn where the memory left is not much more. Inside `until_done` alone.

    Returns None where they are there, or nobody knows, else how many bytes are left.
    """
    if needed <= UNASKED:
        return None
    left = available_memory()
    if left is None or needed * _BESIDE <= left:
        return None
    assert _mine.block is not None
    if not _mine.has_turn:
        _mine.block.enter_context(_my_turn())
        left = available_memory()
    return None if left is None or needed <= left else left


@contextmanager
def _my_turn() -> Iterator[None]:
    until = time.monotonic() + WAIT
    with ExitStack() as stack:
        if _turn.acquire(timeout=WAIT):
            stack.callback(_turn.release)
        stack.enter_context(_among_processes(until))
        _mine.has_turn = True
        try:
            yield
        finally:
            _mine.has_turn = False


@contextmanager
def _among_processes(until: float) -> Iterator[None]:
    """One process of this user at a time, as far as the system lets one tell."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        path = os.path.join(tempfile.gettempdir(), f"soda-decode-{os.getuid()}.lock")
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:  # nowhere to put it
        yield
        return
    try:  # a record lock: it goes with its process, and no fork takes it along
        _patiently(lambda: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB), until)
        yield
    finally:
        os.close(file)


def _patiently(attempt: Callable[[], object], until: float) -> None:
    while True:
        try:
            attempt()
            return
        except OSError:
            if time.monotonic() >= until:
                return
        time.sleep(0.02)


def available_memory() -> int | None:
    """Bytes that the machine, or the container that this runs in, has left; None where the system does not say."""
    found = [left for left in (_of_machine(), _of_container()) if left is not None]
    return min(found) if found else None


def _of_machine() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def _of_container() -> int | None:
    try:
        most = (_CONTAINER / "memory.max").read_text().strip()
        return None if most == "max" else int(most) - int((_CONTAINER / "memory.current").read_text())
    except (OSError, ValueError):
        return None
