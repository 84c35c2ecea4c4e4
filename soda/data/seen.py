"""Which contents were seen before, and what the first of each was called: sixteen bytes of memory a content.

Names and whole digests wait in a file. Memory has, of each, eight bytes of its digest and where its line is: sorted runs, the
smaller put into the larger as they grow.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

_DIGEST = 32
_LENGTH = 4  # bytes that say how long a name is
_RECENT = 1 << 14
"""Contents that are kept as they came before they are sorted."""


class Seen:
    """A context manager; the file is in `folder` and has no name, so that nothing is left of it, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._end = 0
        self._recent: dict[int, int] = {}  # the first eight bytes of a digest -> where its line is
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []  # of each: (n,) uint64, ascending, and (n,) int64; longest first

    def first(self, digest: bytes, name: str) -> str:
        """The name that came with this SHA-256 first, which is `name` where it is new."""
        key = int.from_bytes(digest[:8], "big")
        for place in self._places(key):
            known, called = self._line(place)
            if known == digest:
                return called
        while key in self._recent:  # two contents whose digests begin alike
            self._sort_recent()
        self._recent[key] = self._end
        text = name.encode("utf-8", "surrogatepass")
        self._file.seek(self._end)
        self._end += self._file.write(digest + len(text).to_bytes(_LENGTH, "big") + text)
        if len(self._recent) == _RECENT:
            self._sort_recent()
        return name

    def _places(self, key: int) -> list[int]:
        found = [self._recent[key]] if key in self._recent else []
        wanted = np.uint64(key)
        for keys, places in self._runs:
            at = int(np.searchsorted(keys, wanted))
            while at < len(keys) and keys[at] == wanted:
                found.append(int(places[at]))
                at += 1
        return found

    def _line(self, place: int) -> tuple[bytes, str]:
        self._file.seek(place)
        head = self._file.read(_DIGEST + _LENGTH)
        text = self._file.read(int.from_bytes(head[_DIGEST:], "big"))
        return head[:_DIGEST], text.decode("utf-8", "surrogatepass")

    def _sort_recent(self) -> None:
        run = _sorted(
            np.fromiter(self._recent, np.uint64, len(self._recent)),
            np.fromiter(self._recent.values(), np.int64, len(self._recent)),
        )
        self._recent = {}
        while self._runs and len(self._runs[-1][0]) <= len(run[0]):
            keys, places = self._runs.pop()
            run = _sorted(np.concatenate((keys, run[0])), np.concatenate((places, run[1])))
        self._runs.append(run)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


def _sorted(keys: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(keys, kind="stable")
    return keys[order], places[order]
