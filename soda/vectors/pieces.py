"""The work of `soda embed` in pieces: the listing of a folder, and the parts that are made of what it lists.

Both lie in a hidden folder beside the output until it is done.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from soda.common.files import whole_file
from soda.runtime import pictures_in
from soda.runtime.walk import Passed
from soda.vectors.origin import Origin
from soda.vectors.store import DAMAGE
from soda.vectors.stores.known import Known

PART = 1024
"""Pictures a part, on average; four times as many at most: what an interruption can cost."""
LISTING = "list.jsonl"


class Listed(NamedTuple):
    """A picture of the folder. size: bytes; modified: nanoseconds since 1970; both -1 of one that is gone meanwhile; kept: in the
    output as it is."""

    name: str
    size: int
    modified: int
    kept: bool = False


def write_listing(folder: Path, work: Path, origin: Origin, passed: Passed, known: Known) -> int:
    """Write the listing: what the job is about, then a line a picture. Returns the number of pictures."""
    count = 0
    with whole_file(work / LISTING) as temporary, temporary.open("w", encoding="ascii") as file:
        file.write(json.dumps(asdict(origin)) + "\n")
        for name in pictures_in(folder, passed=passed):
            try:
                status = os.stat(folder / name)
                listed = (name, status.st_size, status.st_mtime_ns)
            except OSError:
                listed = (name, -1, -1)  # gone meanwhile: embedding will say so
            file.write(json.dumps([*listed, True] if known.keep(*listed) else listed) + "\n")
            count += 1
    return count


def listing(work: Path) -> Iterator[Listed]:
    """All pictures, in the order of their names."""
    with (work / LISTING).open(encoding="ascii") as file:
        file.readline()
        for line in file:
            yield Listed(*json.loads(line))


def parts(work: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each part's file and its pictures. The file is called after the job and all that the listing says of the pictures.

    Where a part ends is decided by the picture's own name, so that a picture more or less changes one part, not all that follow.
    """
    with (work / LISTING).open(encoding="ascii") as file:
        job = file.readline().encode()
        digest, names = hashlib.sha256(job), list[str]()
        for line in file:
            listed = Listed(*json.loads(line))
            if listed.kept:
                continue
            digest.update(line.encode())
            names.append(listed.name)
            if zlib.crc32(line.split('",')[0].encode()) % PART == 0 or len(names) == 4 * PART:
                yield work / f"{digest.hexdigest()[:32]}.npz", names
                digest, names = hashlib.sha256(job), []
        if names:
            yield work / f"{digest.hexdigest()[:32]}.npz", names


@dataclass(frozen=True)
class Part:
    """files: n names; z: (n, D); skipped: a name and a reason each."""

    files: list[str]
    z: np.ndarray
    skipped: list[list[str]]

    def joined(self, later: Part, names: list[str]) -> Part:
        """Both, in the order of `names`; skipped is what the later one skipped."""
        files, place = self.files + later.files, {name: i for i, name in enumerate(names)}
        order = sorted(range(len(files)), key=lambda row: place[files[row]])
        return Part([files[row] for row in order], np.concatenate([self.z, later.z])[order], later.skipped)


def write_part(path: Path, part: Part) -> None:
    """Whole or not at all."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, z=part.z, about=np.asarray(json.dumps([part.files, part.skipped])))


def read_part(path: Path) -> Part | None:
    """None for a part that is not there or not whole."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            files, skipped = json.loads(str(arrays["about"]))
            return Part(files, arrays["z"], skipped)
    except DAMAGE:
        return None
