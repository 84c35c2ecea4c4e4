"""Logs for people: a failed stage says what is wrong in its own words, and needs no traceback of Prefect's over them."""

from __future__ import annotations

import logging

from prefect.exceptions import CancelledRun, CrashedRun, FailedRun

_LOGGERS = ("prefect.engine", "prefect.flow_runs", "prefect.task_runs")


class _NoTraceback(logging.Filter):
    """Leaves out what says once more, with a traceback, how a run ended; a bug keeps its own."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not isinstance(record.exc_info, tuple):
            return True
        if record.exc_info[1] is None:  # Prefect asks for a traceback where there is none
            record.exc_info = None
        return not isinstance(record.exc_info and record.exc_info[1], (FailedRun, CancelledRun, CrashedRun))


def calm_logs() -> None:
    """Once for each process; a second time does nothing."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, _NoTraceback) for each in logger.filters):
            logger.addFilter(_NoTraceback())
