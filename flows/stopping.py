"""Ctrl-C and SIGTERM on a run that was started by hand: the stage saves, the end is reported, and one line says so.

A worker's runs are stopped by Prefect itself.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

from prefect.exceptions import TerminationSignal
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, State

from flows.temporary_server import healthy


class Stop:
    """Which signal asked to stop, if any; `status` is the shell's for it."""

    signum: int = signal.SIGINT
    by_hand = False

    @property
    def status(self) -> int:
        return 128 + self.signum


_stop = Stop()


def stop_by_signal() -> Stop:
    """From here on SIGINT and SIGTERM raise KeyboardInterrupt in the main thread; a second one ends the process at once."""

    def handle(signum: int, frame: FrameType | None) -> None:
        _stop.signum = signum
        logging.raiseExceptions = False  # what sends logs to the server would print that it is gone
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt

    _stop.by_hand = True
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, handle)
    return _stop


def leave(status: int) -> NoReturn:
    """End the process now: at an ordinary exit Prefect tries for a minute to send what it has left to a server that is gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def stopped(signalled: BaseException, message: str) -> State[Any]:
    """The state of a run by hand that was asked to stop and has stopped; a worker's run passes the signal on to Prefect.

    signalled: KeyboardInterrupt, or what Prefect makes of SIGTERM while a flow is at work.

    When no server answers any more, the process of a run by hand ends here: Prefect would try for minutes to tell it. The record
    of the workspace keeps the run, and the next one reports its end.
    """
    if not _stop.by_hand:
        raise signalled
    if isinstance(signalled, TerminationSignal):
        _stop.signum = signal.SIGTERM
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # each would say it once more
    url = PREFECT_API_URL.value()
    if url and not healthy(url, seconds=2.0):
        sys.stderr.write(f"{message} (Prefect's server is gone, too: the next run tells it)\n")
        leave(_stop.status)
    return Cancelled(message=message)
