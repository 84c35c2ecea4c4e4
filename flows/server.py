"""Which Prefect server a run that is started by hand reports to."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.logging import get_logger
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

logger = get_logger("flows")


def answers_for(url: str, home: Path) -> bool:
    """Whether a Prefect server answers at `url` (http://host:port/api) and keeps its database in `home`."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/admin/settings", timeout=2) as answer:
            theirs = json.load(answer).get("home", "")
    except (OSError, ValueError, AttributeError, urllib.error.URLError):
        return False
    return Path(theirs).resolve() == home.resolve()


@contextmanager
def project_server() -> Iterator[None]:
    """Report to this project's own server (`make server`) when it is up, else to a temporary one with the same database.

    A server that the person named in the environment (PREFECT_API_URL) is used as it is. Another project's server that happens to
    listen at the same address is not.
    """
    url = PREFECT_API_URL.value()
    if os.environ.get("PREFECT_API_URL") or not url:
        yield
    elif answers_for(url, PREFECT_HOME.value()):
        logger.info("reporting to the Prefect server at %s", url)
        yield
    else:
        logger.info("no Prefect server of this project at %s: starting a temporary one, which takes up to half a minute", url)
        with temporary_settings(restore_defaults={PREFECT_API_URL}):
            yield
