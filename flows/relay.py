"""What a stage prints, on its way to a person: lines to the log, a progress bar to the terminal, and now and then to the log."""

from __future__ import annotations

import codecs
import re
import sys
import time
from collections import deque
from collections.abc import Callable

PROGRESS_SECONDS = 30.0  # between two lines of a progress bar in the log
_LAST_LINES = 12
_LINE_END = re.compile(r"\r\n|\n|\r")


class Relay:
    """Takes the bytes of a pipe as they come; `last` holds the last lines.

    Args:
        log: gets each line, and a progress bar every PROGRESS_SECONDS.
        bar: gets each state of a progress bar.
    """

    def __init__(self, log: Callable[[str], None], bar: Callable[[str], object] | None = None) -> None:
        self.log, self.bar = log, bar
        self.last: deque[str] = deque(maxlen=_LAST_LINES)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""
        self._terminal = sys.stderr if sys.stderr.isatty() else None
        self._bar_width = 0
        self._logged = time.monotonic()

    def feed(self, chunk: bytes) -> None:
        """Pass on what is complete of it: lines, and a bar, which ends in a carriage return."""
        self._rest += self._decoder.decode(chunk)
        while (end := _LINE_END.search(self._rest)) and (end.end() < len(self._rest) or end.group() != "\r"):
            text, self._rest = self._rest[: end.start()], self._rest[end.end() :]
            self._take(text, end.group() == "\r")

    def flush(self) -> None:
        """Pass on what is left: nothing more comes."""
        rest, self._rest = self._rest, ""
        self._take(rest, False)

    def _clear_bar(self) -> None:
        if self._terminal and self._bar_width:
            self._terminal.write("\r" + " " * self._bar_width + "\r")
            self._terminal.flush()
        self._bar_width = 0

    def _bar(self, text: str) -> None:
        if self._terminal:
            self._terminal.write("\r" + text.ljust(self._bar_width))
            self._terminal.flush()
            self._bar_width = len(text)
        elif time.monotonic() - self._logged >= PROGRESS_SECONDS:
            self._logged = time.monotonic()
            self.log(text)

    def _take(self, text: str, progress: bool) -> None:
        text = text.rstrip()
        if not text.strip():
            return
        if progress:
            if self.bar:
                self.bar(text)
            self._bar(text)
            return
        self._clear_bar()
        self.last.append(text)
        self.log(text)
