"""Logs for people: a failed stage says what is wrong in its own words, and needs no traceback of Prefect's over them."""

from __future__ import annotations

import logging

from prefect.exceptions import CancelledRun, CrashedRun, FailedRun

_LOGGERS = ("prefect.engine", "prefect.flow_runs", "prefect.task_runs")


class _NoTraceback(logging.Filter):
    """Takes the traceback from records about a run that ended as it said; what is a bug keeps its own."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if isinstance(error, (FailedRun, CancelledRun, CrashedRun)):
            record.exc_info, record.exc_text = None, None
            record.msg, record.args = "the run ended: %s", (str(error),)
        return True


def calm_logs() -> None:
    """Once for each process; a second time does nothing."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, _NoTraceback) for each in logger.filters):
            logger.addFilter(_NoTraceback())
