"""What the reader of a published set yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from soda.data.sources.base import SourceError
from soda.geometry.cameras import Camera


class MissingError(SourceError):
    """A file that the set should have; the message names it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One picture: its pixels, or the file that it is in."""

    id: str
    split: str  # as Item has it; "" where there is no official one
    label: str = ""
    path: str = ""  # of its file, relative to dataset.path
    pixels: np.ndarray | None = None  # (H, W, 3) or grey (H, W) uint8, where a file holds many pictures
    file: str = ""  # what a person is told it comes from; "": `path`
    factors: Mapping[str, str] = field(default_factory=dict)
    camera: Camera | None = None  # of all pictures of a set, or of none


@dataclass(frozen=True, slots=True)
class Contents:
    """All of a set, in an order that is always the same. `factors`: the names that the records' factors have."""

    records: Iterator[Record]
    factors: tuple[str, ...] = ()


Reader = Callable[[Path], Contents]  # from the folder dataset.path; raises MissingError, SourceError


def inner(root: Path, name: str) -> Path:
    """The folder of the set: `root`/`name`, or `root` itself when it is that folder. Raises MissingError."""
    for folder in (root / name, root):
        if folder.name == name and folder.is_dir():
            return folder
    raise MissingError(f"dataset.path: {root}: there is no folder {name} in it")


def wanted(path: Path) -> Path:
    """The path, when there is a file or folder. Raises MissingError."""
    if not path.exists():
        raise MissingError(f"{path}: no such file or folder")
    return path


def lines(path: Path) -> list[str]:
    """The lines of a text file. Raises MissingError and SourceError."""
    try:
        return wanted(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read ({error})") from None
