"""A `soda` command at work for a flow, in a process of its own: what it prints goes to the log, and it can be stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from flows.ending import end_group
from flows.killed import Left, Witness, signal_of
from flows.proxies import given_back
from flows.relay import Relay
from soda.common.errors import SodaError


class CommandError(SodaError, RuntimeError):
    """A command ended in another way than well. The message has its last words; status is the command's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


_AGAIN = Left(
    "What was there before it is as it was; the same run begins it again", "fewer things at once on this machine", trains=False
)


def run_soda(arguments: list[str], root: Path, log: Callable[[str], None], left: Left = _AGAIN) -> None:
    """Run `soda ARGUMENTS` in the folder `root`. left: what is said where it is killed. Raises CommandError when it fails.

    Whatever interrupts this call first stops the command with SIGTERM, and with SIGKILL only when it does not listen.
    """
    relay, witness = Relay(log), Witness()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "soda", *arguments],
        cwd=root,
        env={**given_back(os.environ), "PYTHONUNBUFFERED": "1"},
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
        end_group(process, relay)
        raise
    finally:
        process.stdout.close()
    if sign := signal_of(status):
        words = "\n".join(relay.last)
        raise CommandError(f"soda {arguments[0]} was {witness.describe(sign, root, left)}\n{words}".strip(), status)
    if status != 0:
        said = "\n".join(relay.last).removeprefix(f"soda {arguments[0]}: ") or f"it ended with status {status}"
        raise CommandError(f"soda {arguments[0]} failed: {said}", status)
