"""Like pictures told apart: the same pixels, the same picture saved or edited anew, and mere likeness.

Within a group of like pictures each copy is held to one that stays, never to another copy: so what a plan deletes always has its
like among what it keeps.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from soda.common.cores import usable_cores
from soda.common.files import whole_file
from soda.runtime.preprocess import MAX_PIXELS
from soda.vectors.looks import COARSE, SIDE, TILE, Look, are_near, coarse, fine, look_at, may_be_near

KEEP, EXACT, NEAR, LINK, SIMILAR, UNREAD = "keep", "exact", "near", "link", "similar", "unread"
COPIES = (EXACT, NEAR)
"""Kinds of which one is enough."""

PLAN = ("delete", "keep", "kind", "bytes")


@dataclass(frozen=True)
class Member:
    """A picture of a group. place: in the group; kind: KEEP of one that has copies, EXACT, NEAR or LINK (another name of the same
    file) of these, SIMILAR of one without, UNREAD of one that is gone or damaged; of: the place of the one that stays."""

    place: int
    kind: str
    look: Look | None = None
    of: int | None = None


def told_apart(paths: Sequence[Path], max_pixels: int = MAX_PIXELS) -> list[Member]:
    """The members of a group of like pictures, each that is kept before its copies; what is only similar follows."""
    looks, thumbs = list[Look | None](), dict[str, np.ndarray]()
    with ThreadPoolExecutor(usable_cores()) as pool:
        for look in pool.map(lambda path: look_at(path, max_pixels), paths):
            # Of a crowd of equals one thumbnail is held.
            looks.append(look and replace(look, thumb=thumbs.setdefault(look.digest, look.thumb)))
    kept, copies = _Kept(), dict[int, list[Member]]()
    same = Counter(look.digest for look in looks if look)
    read = [(place, look) for place, look in enumerate(looks) if look]
    for place, look in sorted(read, key=lambda pair: pair[1].order(same[pair[1].digest])):
        of, kind = kept.like(look)
        if of is None:
            kept.add(place, look)
            copies[place] = []
        else:
            copies[of].append(Member(place, kind, look, of))
    members: list[Member] = []
    for place in sorted(copies, key=lambda place: (not copies[place], place)):
        own = sorted(copies[place], key=lambda member: ((EXACT, LINK, NEAR).index(member.kind), member.place))
        members += [Member(place, KEEP if own else SIMILAR, looks[place]), *own]
    return members + [Member(place, UNREAD) for place, look in enumerate(looks) if look is None]


def write_plan(path: Path, groups: Iterable[list[Member]]) -> tuple[int, int]:
    """Write which files could go, and which of each stays: a .csv with the columns of PLAN. Nothing is deleted.

    Returns how many files and bytes that would free.
    """
    files = size = 0
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        table = csv.writer(file)
        table.writerow(PLAN)
        for members in groups:
            kept = {member.place: member.look for member in members if member.kind == KEEP}
            for look, stays, kind in _to_go(members, kept):
                table.writerow([look.path.absolute(), stays.path.absolute(), kind, look.bytes])
                files, size = files + 1, size + look.bytes
    return files, size


def _to_go(members: list[Member], kept: dict[int, Look | None]) -> Iterator[tuple[Look, Look, str]]:
    for member in members:
        stays = None if member.of is None else kept[member.of]
        if member.kind in COPIES and member.look and stays:
            yield member.look, stays, member.kind


class _Kept:
    """Pictures that stay, to which others are held."""

    def __init__(self) -> None:
        self._places: list[int] = []
        self._looks: list[Look] = []
        self._coarse = np.empty((16, 64), np.float32)
        self._fine = np.empty((16, (SIDE // TILE) ** 2, 12), np.float16)
        self._by_digest: dict[str, int] = {}

    def add(self, place: int, look: Look) -> None:
        count = len(self._looks)
        if count == len(self._coarse):
            self._coarse, self._fine = (np.concatenate([each, np.empty_like(each)]) for each in (self._coarse, self._fine))
        self._coarse[count], self._fine[count] = coarse(look), fine(look)
        self._by_digest[look.digest] = len(self._looks)
        self._places.append(place)
        self._looks.append(look)

    def like(self, look: Look) -> tuple[int | None, str]:
        """The place of the one that it copies, and how; None for a picture of its own."""
        same = self._by_digest.get(look.digest)
        if same is not None:
            one = os.path.samefile(self._looks[same].path, look.path)
            return self._places[same], LINK if one else EXACT
        if look.plain:
            near = np.flatnonzero(np.abs(self._coarse[: len(self._looks)] - coarse(look)).mean(1) <= COARSE)
            for number in near[may_be_near(self._fine[near], fine(look))].tolist():
                if are_near(self._looks[number], look):
                    return self._places[number], NEAR
        return None, SIMILAR
