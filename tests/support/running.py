"""Real services on free loopback ports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
ENCODER = ROOT / "zoo/fashion_mnist/encoder.onnx"
MODEL = "fashion_mnist"


def lives(pid: int) -> bool:
    """Whether the process is at work. One that ended stays in the table until it is waited for, in some containers for ever."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@dataclass
class Running:
    """A `soda serve` of its own."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])


@contextmanager
def serve(*options: str, **environment: str) -> Iterator[Running]:
    """Run the real command until the block ends."""
    command = [sys.executable, "-m", "soda", "serve", str(ENCODER), "--port", "0", "--threads", "1", *options]
    settings = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    process = subprocess.Popen(command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(f"serving {MODEL} on http://"), f"{line!r}, exit {process.poll()}"
        yield Running(process, line.split(" on ")[1].split()[0])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
