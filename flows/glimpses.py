"""Asks for images drawn with a training's last checkpoint, now and then, in a process of the lowest priority."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

PAUSE = 300.0  # seconds between two starts, at least
PATIENCE = 600.0  # seconds; beside a training that takes every core, a second of the lowest priority takes a minute
_MEMORY = 2**30  # bytes that must be left
CHECKPOINTS = "runs/*/checkpoint.pt"


@dataclass(frozen=True)
class Glimpse:
    """images: how many the model was trained on; png: the sheet, in base64."""

    images: int
    png: str


class Glimpses:
    """Call `look` now and then, and `close` at the end.

    Args:
        root: the project.
        since: seconds since the epoch; older checkpoints are another run's.
        pause: seconds between two sheets.
    """

    def __init__(self, root: Path, since: float, pause: float = PAUSE) -> None:
        self._root, self._since, self._pause = root, since, pause
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self._started = float("-inf")
        self._drawn = since
        self.fault = ""
        """Why the last one did not come; "" when it did."""

    def look(self) -> Glimpse | None:
        """Start one when it is time and a new checkpoint is there. Returns it when it is done, else None; never waits."""
        if self._process is None:
            self._start()
            return None
        if self._process.poll() is None:
            if time.monotonic() - self._started > PATIENCE:
                self.fault = f"no images within {PATIENCE:.0f} s"
                self.close()
            return None
        return self._read()

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._forget()

    def _start(self) -> None:
        if time.monotonic() - self._started < self._pause or psutil.virtual_memory().available < _MEMORY:
            return
        newest, modified = self._newest()
        if newest is None or modified <= self._drawn:
            return
        self._started, self._drawn = time.monotonic(), modified
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (closed when it is read)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "soda.report.glimpse", str(newest.relative_to(self._root))],
            cwd=self._root,
            stdin=subprocess.PIPE,  # it ends when this process does
            stdout=self._output,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C at the terminal is not for it
        )

    def _newest(self) -> tuple[Path | None, float]:
        newest: tuple[Path | None, float] = (None, 0.0)
        for path in self._root.glob(CHECKPOINTS):
            with contextlib.suppress(OSError):  # taken away meanwhile
                newest = max(newest, (path, path.stat().st_mtime), key=lambda each: each[1])
        return newest

    def _read(self) -> Glimpse | None:
        assert self._process is not None and self._output is not None and self._process.stderr is not None
        said = self._process.stderr.read().decode(errors="replace").strip()
        self.fault = said.splitlines()[-1] if self._process.returncode and said else ""
        self._output.seek(0)
        text, failed = self._output.read(), self._process.returncode != 0
        self._forget()
        if failed:
            self.fault = self.fault or "its process ended without a word"
            return None
        found: dict[str, Any] = json.loads(text)
        return Glimpse(int(found["images"]), str(found["png"]))

    def _forget(self) -> None:
        pipes = [self._output] if self._process is None else [self._output, self._process.stdin, self._process.stderr]
        for pipe in pipes:
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process = self._output = None
