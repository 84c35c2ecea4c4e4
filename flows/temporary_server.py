"""A Prefect server for one run that is started by hand: as Prefect's own, but for two things.

Ctrl-C at the terminal does not reach it, so that the run can still report its end; and it goes when whoever started it is gone.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    get_current_settings,
    temporary_settings,
)

from soda.common.errors import SodaError

LOG = "temporary-server.log"
_MODES = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
_SERVER = "import sys; sys.path.insert(0, sys.argv[1]); from flows.temporary_server import serve; serve(int(sys.argv[2]))"


class ServerError(SodaError, RuntimeError):
    """No Prefect server could be started, or none of this project answers."""


def free_port() -> int:
    """A port of this machine's own address that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def healthy(url: str, seconds: float = 1.0) -> bool:
    """Whether a Prefect API answers at `url` within that time."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=seconds) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


@contextmanager
def temporary_server(password: str) -> Iterator[None]:
    """Report to a server on a free port, with this project's database; it asks for `password`, an auth string of Prefect's.

    Raises ServerError when it does not come up.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    home = PREFECT_HOME.value()
    home.mkdir(parents=True, exist_ok=True)
    with (home / LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _SERVER, str(Path(__file__).parents[1]), str(port)],
            env={**os.environ, **settings, **_MODES, "PREFECT_SERVER_API_AUTH_STRING": password},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
        while not healthy(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"no temporary Prefect server came up; {home / LOG} says why")
            time.sleep(0.1)
        with temporary_settings(updates={PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: password}):
            yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def serve(port: int) -> None:
    """Serve until asked to stop, or until standard input ends, as it does when the process that started this one is gone."""

    def watch() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    import uvicorn

    app = "prefect.server.api.server:create_app"
    uvicorn.run(app, factory=True, host="127.0.0.1", port=port, log_level="error", lifespan="on", timeout_graceful_shutdown=1)
