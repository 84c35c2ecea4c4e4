"""Pictures in tar files, as WebDataset packs them, for `soda embed`: found by the headers alone and read where they lie."""

from __future__ import annotations

import os
import posixpath
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from soda.runtime.walk import EXTENSIONS, is_housekeeping
from soda.vectors import VectorsError


class PackedPlace(NamedTuple):
    """A picture in a tar. name: its path there; start: its first byte in the tar; size: bytes."""

    name: str
    start: int
    size: int


def tars_in(folder: Path) -> list[str]:
    """The tars in a folder and below it, relative to it, sorted; hidden ones and those of other programs are passed over."""
    names = (path.relative_to(folder) for path in folder.rglob("*.tar") if path.is_file())
    return sorted(name.as_posix() for name in names if not any(map(is_housekeeping, name.parts)))


def members_of(tar: Path) -> Iterator[PackedPlace]:
    """The pictures of a tar, in the order in which they lie there. What is hidden is passed over.

    Raises VectorsError for a file that is no plain tar or is cut off, and for two pictures of one name.
    """
    seen = set[str]()
    try:
        with tarfile.open(tar, "r:") as opened:
            for member in opened:
                name = posixpath.normpath(member.name)
                if not member.isfile() or posixpath.basename(name).startswith("."):
                    continue
                if os.path.splitext(name)[1].lower() in EXTENSIONS:
                    if name in seen:
                        raise VectorsError(f"{tar}: it holds {name} twice; a table has one row for each name")
                    seen.add(name)
                    yield PackedPlace(name, member.offset_data, member.size)
                opened.members = []  # type: ignore[attr-defined]  # it would keep every header
    except (tarfile.TarError, EOFError) as error:
        raise VectorsError(f"{tar}: no tar that can be read ({error}); a compressed one must be unpacked first") from None
