"""The pictures in a folder, in a fixed order and in flat memory."""

from __future__ import annotations

import heapq
import json
import logging
import os
import re
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO

from soda.common.errors import MissingFolderError
from soda.runtime.names import one_line

EXTENSIONS = frozenset(
    {
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".tif", ".tiff", ".bmp"),
        *(".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif", ".avifs", ".heic", ".heif", ".jxl"),
    }
)
"""What counts as a picture by its name; formats that cannot be read are among them, so that they are reported, not passed
over."""

RUN = 50_000
"""Names sorted in memory at once; of more, sorted runs are merged from temporary files."""

_KINDS, _SHOWN = 1000, 6  # kinds of names that are counted apart, and that a sentence names

_log = logging.getLogger(__name__)


HOUSEKEEPING = frozenset(
    {
        *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@__thumb", "#recycle", "#snapshot"),  # Synology, QNAP
        *("@trash", "@snapshot", "@sharebin", "@__qini", "@synoresource", "~trash", "~snapshot"),
        *("$recycle.bin", "recycle.bin", "recycle bin", "system volume information", "lost+found"),
        *("__macosx", "network trash folder", "temporary items", "_vti_cnf"),
    }
)
"""Folders, in small letters, in which other programs keep thumbnails, snapshots and what was thrown away."""

FOUND = re.compile(r"found\.\d{3}")  # what a check of a disk saved
BINS = frozenset({"recycled", "recycler"})
"""Of Windows until 2006: its own where its marks lie inside. Sorters of waste call a folder so, too."""
_MARKS = ("s-1-", "info2", "desktop.ini")

PREVIEWS = (".lrdata", ".lrcat-data", ".cocatalogdb")
"""Ends of folders full of previews: Lightroom's and Capture One's."""

LIBRARIES = (".photoslibrary", ".photolibrary", ".aplibrary")
ORIGINALS = frozenset({"originals", "masters"})
"""Of a library of Apple's these folders alone hold pictures of the person; all else is made of them."""
IPHOTO = "iphoto library"  # its older name, which a person may use as well


@dataclass
class Passed:
    """What a walk passed over. others: files that are no pictures by their names, by ending; programs: folders and files that are
    hidden or that other programs keep, by name."""

    others: Counter[str] = field(default_factory=Counter)
    programs: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return self.others.total() + self.programs.total()

    def __str__(self) -> str:
        """To be put behind "there is no picture in it"; "" where there was nothing at all."""
        text = ""
        if self.others:
            text += f"; {self.others.total()} other files are in it ({most_of(self.others)})"
        if self.programs:
            text += f"; passed over, as hidden or of other programs: {most_of(self.programs)}"
        return text


def pictures_in(
    folder: str | os.PathLike[str],
    *,
    passed: Passed | None = None,
    onerror: Callable[[OSError], object] | None = None,
    pipes: bool = False,
    endings: frozenset[str] = EXTENSIONS,
) -> Iterator[str]:
    """Paths of the pictures in a folder and all below it, relative to it, sorted, with "/" between their parts.

    This is the one walk of embedding and of training. Hidden files and folders and those of HOUSEKEEPING are passed over. Linked
    folders are entered, each real folder once, by its own name where it has one below `folder`. A link to a picture that is gone
    is given, so that whoever opens it can say so. Memory does not grow with the number of pictures.
    passed: takes down what is passed over. onerror: called with the error about a folder that cannot be listed; by default it is
    passed over with a warning. pipes: give what is no file but is called like a picture, too. endings: those of the names that
    are given, in small letters: pictures' own, or of files that hold pictures.
    Raises NotADirectoryError when it is no folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise MissingFolderError(f"{root}: {'not a folder' if root.exists() else 'no such folder'}")
    found = _walk(root, Passed() if passed is None else passed, onerror or _warn, pipes, endings)
    names = list(islice(found, RUN))
    if len(names) < RUN:  # no temporary file for few: there may be no place for one
        yield from sorted(names)
        return
    with tempfile.TemporaryFile("w+", encoding="ascii") as file:
        runs: list[tuple[int, int]] = []  # where each sorted run begins and how many names it holds
        while len(names) == RUN:
            runs.append(_write(file, names))
            names = list(islice(found, RUN))
        yield from heapq.merge(*(_read(file, start, count) for start, count in runs), sorted(names))


def is_housekeeping(name: str) -> bool:
    """Whether a file or folder of this name is hidden or of another program."""
    small = name.lower()
    return name.startswith((".", "~$")) or small in HOUSEKEEPING or small.endswith(PREVIEWS) or bool(FOUND.fullmatch(small))


def _walk(
    root: Path, passed: Passed, onerror: Callable[[OSError], object], pipes: bool, endings: frozenset[str]
) -> Iterator[str]:
    pending, linked, seen = [""], deque[str](), set[tuple[int, int] | str]()
    while pending or linked:
        prefix = pending.pop() if pending else linked.popleft()  # links last: a folder goes by its own name
        try:
            real = _identity(root / prefix)
            if real in seen:
                continue
            seen.add(real)
            entries = os.scandir(root / prefix)
        except OSError as error:
            if not prefix:
                raise
            onerror(error)
            continue
        library = bool(prefix) and _is_library(root / prefix)
        with entries:
            for entry in entries:
                folder, link = _is_folder(entry)
                if (
                    is_housekeeping(entry.name)
                    or (library and not (folder and entry.name.lower() in ORIGINALS))
                    or (folder and _is_bin(Path(entry.path)))
                ):
                    _count(passed.programs, "._*" if entry.name.startswith("._") else entry.name)
                elif folder:
                    (linked if link else pending).append(f"{prefix}{entry.name}/")
                elif (ending := os.path.splitext(entry.name)[1].lower()) not in endings:
                    _count(passed.others, ending)
                elif pipes or _may_be_read(entry):
                    yield prefix + entry.name
        if not pending:
            linked = deque(sorted(linked))


def _is_library(folder: Path) -> bool:
    name = folder.name.lower()
    return name.endswith(LIBRARIES) or (name == IPHOTO and any(each.lower() in ORIGINALS for each in _listed(folder)))


def _is_bin(folder: Path) -> bool:
    return folder.name.lower() in BINS and any(each.lower().startswith(_MARKS) for each in _listed(folder))


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _identity(folder: Path) -> tuple[int, int] | str:
    status = os.stat(folder)
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(folder)


def _is_folder(entry: os.DirEntry[str]) -> tuple[bool, bool]:
    """Whether it is a folder, and whether it is a link to one."""
    try:
        return entry.is_dir(), entry.is_symlink()
    except OSError:  # a link in a circle
        return False, True


def _warn(error: OSError) -> None:
    _log.warning("passed over: %s: %s", one_line(os.fspath(error.filename).rstrip("/")), error.strerror or error)


def _count(counted: Counter[str], name: str) -> None:
    counted[name if name in counted or len(counted) < _KINDS else "..."] += 1


def most_of(counted: Counter[str]) -> str:
    """The most frequent names with their counts, in words."""
    shown = [f"{count} {one_line(name) or 'without an ending'}" for name, count in counted.most_common(_SHOWN)]
    return ", ".join(shown) + (", ..." if len(counted) > _SHOWN else "")


def _may_be_read(entry: os.DirEntry[str]) -> bool:
    """A file, or a link that leads nowhere, in a circle or where one may not look: opening it will say so. No pipe, no device."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True


def _write(file: IO[str], names: list[str]) -> tuple[int, int]:
    file.seek(0, os.SEEK_END)
    start = file.tell()
    for name in sorted(names):
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
