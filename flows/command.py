"""A `soda` command at work for a flow, in a process of its own: what it prints goes to the log, and it can be stopped."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from flows.dvc_client import GRACE_SECONDS
from flows.relay import Relay
from soda.common.errors import SodaError


class CommandError(SodaError, RuntimeError):
    """A command ended in another way than well. The message has its last words; status is the command's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def run_soda(arguments: list[str], root: Path, log: Callable[[str], None]) -> None:
    """Run `soda ARGUMENTS` in the folder `root`. Raises CommandError when it fails.

    Whatever interrupts this call first stops the command with SIGTERM, and with SIGKILL only after GRACE_SECONDS.
    """
    relay = Relay(log)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "soda", *arguments],
        cwd=root,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        while chunk := os.read(process.stdout.fileno(), 65536):
            relay.feed(chunk)
        relay.flush()
        status = process.wait()
    except BaseException:
        _stop(process, relay)
        raise
    finally:
        process.stdout.close()
    if status != 0:
        said = "\n".join(relay.last).removeprefix(f"soda {arguments[0]}: ") or f"it ended with status {status}"
        raise CommandError(f"soda {arguments[0]} failed: {said}", status)


def _stop(process: subprocess.Popen[bytes], relay: Relay) -> None:
    """Ask the whole group to stop, pass on what it still says, and end it when it does not listen."""
    assert process.stdout is not None
    deadline = time.monotonic() + GRACE_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        output = process.stdout.fileno()
        while (left := deadline - time.monotonic()) > 0 and select.select([output], [], [], left)[0]:
            if not (chunk := os.read(output, 65536)):
                break
            relay.feed(chunk)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, deadline - time.monotonic()))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
