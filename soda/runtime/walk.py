"""The pictures in a folder, in a fixed order and in flat memory."""

from __future__ import annotations

import heapq
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from soda.common.errors import MissingFolderError
from soda.runtime.names import one_line

EXTENSIONS = frozenset(
    {
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".tif", ".tiff", ".bmp"),
        *(".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif", ".avifs", ".heic", ".heif"),
    }
)
"""What counts as a picture by its name; formats that cannot be read are among them, so that they are reported, not passed
over."""

RUN = 50_000
"""Names sorted in memory at once; of more, sorted runs are merged from temporary files."""

_log = logging.getLogger(__name__)


def pictures_in(folder: str | os.PathLike[str]) -> Iterator[str]:
    """Paths of the pictures in a folder and all below it, relative to it, sorted, with "/" between their parts.

    Hidden files and folders are passed over, links to folders are not followed; a folder below that cannot be read is passed over
    with a warning. A link to a picture that is gone is given, so that whoever opens it can say so. Memory does not grow with the
    number of pictures.
    Raises NotADirectoryError when it is no folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise MissingFolderError(f"{root}: {'not a folder' if root.exists() else 'no such folder'}")
    with tempfile.TemporaryFile("w+", encoding="ascii") as file:
        runs: list[tuple[int, int]] = []  # where each sorted run begins and how many names it holds
        names: list[str] = []
        for name in _walk(root):
            names.append(name)
            if len(names) == RUN:
                runs.append(_write(file, names))
                names = []
        names.sort()
        yield from heapq.merge(*(_read(file, start, count) for start, count in runs), names)


def _walk(root: Path) -> Iterator[str]:
    pending = [""]
    while pending:
        prefix = pending.pop()
        try:
            entries = os.scandir(root / prefix)
        except OSError as error:
            if not prefix:
                raise
            _log.warning("passed over: %s: %s", one_line(str(root / prefix)), error.strerror or error)
            continue
        with entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{prefix}{entry.name}/")
                elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS and _may_be_read(entry):
                    yield prefix + entry.name


def _may_be_read(entry: os.DirEntry[str]) -> bool:
    """A file, or a link that leads nowhere, in a circle or where one may not look: opening it will say so. No pipe, no device."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True


def _write(file: IO[str], names: list[str]) -> tuple[int, int]:
    file.seek(0, os.SEEK_END)
    start = file.tell()
    names.sort()
    for name in names:
        file.write(json.dumps(name) + "\n")  # names may hold line ends, and bytes that are no Unicode
    file.flush()
    return start, len(names)


def _read(file: IO[str], start: int, count: int, block: int = 1024) -> Iterator[str]:
    """The runs share one file, so each reads a block of lines at a time from its own place."""
    while count:
        file.seek(start)
        lines = [file.readline() for _ in range(min(block, count))]
        start, count = file.tell(), count - len(lines)
        yield from map(json.loads, lines)
