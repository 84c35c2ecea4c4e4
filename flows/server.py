"""Which Prefect server a run that is started by hand reports to."""

from __future__ import annotations

import http.client
import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.logging import get_logger
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

logger = get_logger("flows")


LOOPBACK = ("127.0.0.1", "localhost", "::1")

_MOST = 1 << 20  # bytes of an answer: what listens there may be anything, and talk for ever


def bypass_proxy() -> None:
    """Have this process and those that it starts reach this machine itself without the proxy of HTTP_PROXY and its like."""
    for name in ("no_proxy", "NO_PROXY"):  # which of the two is read differs from program to program
        named = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
        hosts = [host.strip() for host in named.split(",") if host.strip()]
        os.environ[name] = ",".join([*hosts, *(host for host in LOOPBACK if host not in hosts)])


def answers_for(url: str, home: Path) -> bool:
    """Whether a Prefect server answers at `url` (http://host:port/api) and keeps its database in `home`."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/admin/settings", timeout=2) as answer:
            theirs = json.loads(answer.read(_MOST))["home"]
        return Path(theirs).resolve() == home.resolve()
    except (OSError, ValueError, TypeError, LookupError, RecursionError, http.client.HTTPException):
        return False  # another service, or none


@contextmanager
def project_server() -> Iterator[None]:
    """Report to this project's own server (`make server`) when it is up, else to a temporary one with the same database.

    A server that the person named in the environment (PREFECT_API_URL) is used as it is. Another project's server that happens to
    listen at the same address is not.
    """
    bypass_proxy()
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
