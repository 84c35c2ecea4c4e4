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
from soda.vectors.tars import members_of, tars_in

PART = 1024
"""Pictures a part, on average; four times as many at most: what an interruption can cost."""
LISTING = "list.jsonl"


class Listed(NamedTuple):
    """A picture of the folder. size: bytes; modified: nanoseconds since 1970; both -1 of one that is gone meanwhile; kept: in the
    output as it is. tar: the tar that it lies in, relative to the folder, and start: the byte there; "" and -1 of a file."""

    name: str
    size: int
    modified: int
    kept: bool = False
    tar: str = ""
    start: int = -1


class Planned(NamedTuple):
    """What one part is made of. path: of the part's file; place: the bytes of the listing that it stands for, first and end."""

    path: Path
    pictures: list[Listed]
    place: tuple[int, int]


def write_listing(folder: Path, work: Path, origin: Origin, passed: Passed, known: Known) -> int:
    """Write the listing: what the job is about, then a line a picture. Returns the number of pictures.

    Where the folder has no picture but tars, the pictures in these are listed. Raises VectorsError for a tar that is damaged.
    """
    count = 0
    with whole_file(work / LISTING) as temporary, temporary.open("w", encoding="ascii") as file:
        file.write(json.dumps(asdict(origin)) + "\n")
        for found in _found(folder, passed):
            listed = found._replace(kept=known.keep(found.name, found.size, found.modified))
            shortest = listed if listed.tar else listed[:4] if listed.kept else listed[:3]
            file.write(json.dumps(shortest) + "\n")
            count += 1
    return count


def _found(folder: Path, passed: Passed) -> Iterator[Listed]:
    loose = False
    for name in pictures_in(folder, passed=passed):
        loose = True
        try:
            status = os.stat(folder / name)
            yield Listed(name, status.st_size, status.st_mtime_ns)
        except OSError:
            yield Listed(name, -1, -1)  # gone meanwhile: embedding will say so
    if not loose and passed.others[".tar"]:
        for tar in tars_in(folder):
            modified = os.stat(folder / tar).st_mtime_ns
            for member in members_of(folder / tar):
                yield Listed(f"{tar}/{member.name}", member.size, modified, False, tar, member.start)


def listing(work: Path) -> Iterator[Listed]:
    """All pictures, in the order of their names; of tars tar by tar, in the order in which they lie there."""
    with (work / LISTING).open(encoding="ascii") as file:
        file.readline()
        for line in file:
            yield Listed(*json.loads(line))


def parts(work: Path) -> Iterator[Planned]:
    """The parts of the job. The file of each is called after the job and all that the listing says of the pictures.

    Where a part ends is decided by the picture's own name, so that a picture more or less changes one part, not all that follow.
    """
    with (work / LISTING).open("rb") as file:
        job = file.readline()
        start = end = len(job)
        lines = list[bytes]()
        for line in file:
            end += len(line)
            if Listed(*json.loads(line)).kept:
                continue
            lines.append(line)
            if zlib.crc32(line.split(b'",')[0]) % PART == 0 or len(lines) == 4 * PART:
                yield _planned(work, job, lines, (start, end))
                start, lines = end, []
        if lines:
            yield _planned(work, job, lines, (start, end))


def part_at(work: Path, place: tuple[int, int]) -> Planned:
    """The one part that stands at that place of the listing."""
    start, end = place
    with (work / LISTING).open("rb") as file:
        job = file.readline()
        file.seek(start)
        lines = file.read(end - start).splitlines(keepends=True)
    return _planned(work, job, [line for line in lines if not Listed(*json.loads(line)).kept], place)


def _planned(work: Path, job: bytes, lines: list[bytes], place: tuple[int, int]) -> Planned:
    digest = hashlib.sha256(job)
    for line in lines:
        digest.update(line)
    return Planned(work / f"{digest.hexdigest()[:32]}.npz", [Listed(*json.loads(line)) for line in lines], place)


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
