"""A flow that a person starts in a shell: at this project's server or a temporary one; ended by a signal, too, with a status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect.exceptions import TerminationSignal
from prefect.logging import get_logger
from prefect.logging.handlers import APILogWorker
from prefect.states import State

from flows.server import project_server
from flows.stopping import stop_by_signal
from soda.common.errors import SodaError


def by_hand(start: Callable[[], State[Any]], end: str = "") -> int:
    """Run what `start` runs, which returns its state. end: said behind the message of a run that completed.

    Returns the exit status: 0 when it completed, 1 when not, 2 for what a person can put right, and the shell's of a signal.
    """
    log, stop = get_logger("flows"), stop_by_signal()
    try:
        with project_server():
            state = start()
            APILogWorker.drain_all(timeout=5)  # logs and events, while there is a server to take them
    except SodaError as error:
        log.error("%s", error)
        return 2
    except (KeyboardInterrupt, TerminationSignal):
        log.error("stopped")
        return stop.status
    if not state.is_completed():
        log.error("%s", state.message)
        return stop.status if state.is_cancelled() else 1
    log.info("%s%s", state.message, end)
    return 0
