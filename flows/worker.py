"""`make worker`: Prefect's worker, the watch over its runs, and above both a process that starts them again when they are killed.

python -m flows.worker [POOL]

A run is a session of its own and outlives all of them; the next worker's watch looks after it. SIGTERM and Ctrl-C stop the
worker and leave its runs at work: stop those by cancelling them.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

_WORKER = "import sys; sys.path.insert(0, sys.argv[1]); from flows.worker import work; work(sys.argv[2])"
_LOOKS = {"PREFECT_WORKER_QUERY_SECONDS": "2"}  # for Prefect's 10: a way back is waited for
_PAUSE = 5.0  # seconds between the death of a worker and the start of the next
_PATIENCE = 10.0  # seconds that a worker is given to end


def _settings() -> dict[str, str] | None:
    """What Prefect needs to find this project's server; None, after a line on stderr, where none answers."""
    answer = subprocess.run([sys.executable, "-m", "flows.server", "env"], stdout=subprocess.PIPE, text=True, check=False)
    if answer.returncode != 0:
        return None
    return dict(each.split("=", 1) for each in shlex.split(answer.stdout)[1:])


def work(pool: str) -> NoReturn:
    """Be Prefect's worker, with the watch beside it; killed when standard input ends: whoever started this is gone."""

    def follow() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=follow, daemon=True).start()
    from prefect.cli import app

    from flows.naming import keep_naming
    from flows.watch import default_name, watch

    name = default_name()
    threading.Thread(target=watch, args=(name, Path.cwd()), daemon=True).start()
    threading.Thread(target=keep_naming, args=(pool, Path.cwd()), daemon=True).start()
    sys.argv = ["prefect", "worker", "start", "--pool", pool, "--type", "process", "--name", name]
    app()  # leaves by SystemExit
    sys.exit(0)


class _Worker:
    """The process below; `stopping` once a signal asked to stop."""

    stopping = False

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, settings: dict[str, str]) -> int:
        """Start it and wait for its end. Returns its exit status."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _WORKER, str(Path(__file__).parents[1]), self._pool],
            env={**_LOOKS, **os.environ, **settings},
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C at the terminal is for the process above
        )
        return self._process.wait()

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """On SIGTERM and SIGINT: the worker ends, and not its runs."""
        self.stopping = True
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)  # asked, it would wait for its runs, or end them


def main(arguments: list[str]) -> int:
    """Returns the exit status."""
    worker = _Worker(arguments[0] if arguments else "local")
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, worker.stop)
    settings = _settings()
    if settings is None:
        return 1
    while not worker.stopping:
        status = worker.run(settings)
        if worker.stopping:
            break
        sys.stderr.write(f"the worker ended ({status}); started again in {_PAUSE:.0f} s\n")
        time.sleep(_PAUSE)
        settings = _settings() or settings
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
