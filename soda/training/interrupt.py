"""Ctrl-C and SIGTERM during training: finish the step, save, leave."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from soda.common.errors import SodaError


class Interrupted(SodaError, RuntimeError):
    """Training was asked to stop and has saved; `exit_code` is the shell's for that signal."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


class StopFlag:
    """Which signal asked to stop, if any."""

    signum: int | None = None


@contextmanager
def stop_flag() -> Iterator[StopFlag]:
    """Within the block SIGINT and SIGTERM raise the flag in place of ending the process; a second one of them ends it."""
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag  # Python takes signals in the main thread only
        return

    def handle(signum: int, frame: FrameType | None) -> None:
        flag.signum = signum
        signal.signal(signum, before[signal.Signals(signum)])

    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    for signum in before:
        signal.signal(signum, handle)
    try:
        yield flag
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
