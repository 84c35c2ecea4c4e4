"""A line on standard error that says how far long work has come."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = bool | Callable[[int], None]
"""True: a line on standard error. A function: called with the number of pictures done, after every batch. False: nothing."""


class Line:
    """Writes "1,234 pictures, 567/s" at most twice a second; on a terminal over itself, elsewhere a line every ten seconds."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._terminal = self._stream.isatty()
        self._started = self._written = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self._written >= (0.5 if self._terminal else 10.0):
            self._written = now
            text = f"{done:,} pictures, {done / max(1e-9, now - self._started):,.0f}/s"
            self._stream.write(f"\r{text}\033[K" if self._terminal else f"{text}\n")
            self._stream.flush()

    def close(self) -> None:
        """Leave the terminal's line clean."""
        if self._terminal:
            self._stream.write("\r\033[K")
            self._stream.flush()
