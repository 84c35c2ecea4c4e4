"""Ending what a run has started: the whole group is asked first, heard to its last words, and killed when it does not listen."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time

from flows.relay import Relay

GRACE_SECONDS = 60.0  # between asking a stage to stop (training then saves its checkpoint) and ending it


def end_group(process: subprocess.Popen[bytes], relay: Relay) -> None:
    """End `process`, which leads a group of its own, and all of the group; what they still print goes to `relay`.

    SIGTERM first, and SIGKILL only after GRACE_SECONDS, or when this call is interrupted, too.
    """
    assert process.stdout is not None
    group, output, deadline = process.pid, process.stdout.fileno(), time.monotonic() + GRACE_SECONDS
    try:
        os.killpg(group, signal.SIGTERM)
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([output], [], [], left)[0] or not (chunk := os.read(output, 65536)):
                break
            relay.feed(chunk)
        relay.flush()
        while time.monotonic() < deadline:
            process.poll()  # reaps the leader, which may leave before the rest does, as DVC before its stage
            os.killpg(group, 0)
            time.sleep(0.05)
    except ProcessLookupError:
        return
    finally:  # out of patience, or a second Ctrl-C
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        process.wait()
