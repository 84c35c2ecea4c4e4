"""Groups of like pictures with the names of their members: of vectors in memory, or of a table that does not fit into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from soda.vectors import VectorsError
from soda.vectors.index import EXACT, duplicate_groups
from soda.vectors.join import near_groups
from soda.vectors.store import Vectors, comparable_blocks, on_disk, read_origin


@dataclass(frozen=True)
class Grouped:
    """count: all pictures; groups: rows, two or more each; names: of each row in a group; how: to be put behind what was
    found."""

    count: int
    groups: list[list[int]]
    names: Mapping[int, str]
    folder: str
    how: str = ""

    def path(self, row: int) -> Path:
        """Where the picture of a row lies."""
        return on_disk(self.folder, self.names[row])


APPROXIMATE = ", by cells"


def group_vectors(vectors: Vectors, threshold: float, method: str) -> Grouped:
    """Of vectors in memory; method as of `duplicate_groups`."""
    groups = duplicate_groups(vectors.z, threshold, method)
    exact = method == "exact" or (method == "auto" and len(vectors.files) <= EXACT)
    names = {row: vectors.files[row] for group in groups for row in group}
    return Grouped(len(vectors.files), groups, names, vectors.origin.folder, "" if exact else APPROXIMATE)


def group_table(path: Path, threshold: float) -> Grouped:
    """Of a table of any size, read three times a row group at a time. What waits on the way lies beside it."""
    origin = read_origin(path)
    groups = near_groups(lambda: (z for _, z in comparable_blocks(path, origin)), threshold, path.absolute().parent)
    wanted = {row for group in groups for row in group}
    names, before = dict[int, str](), 0
    for block, _ in comparable_blocks(path, origin):
        names.update((before + place, name) for place, name in enumerate(block) if before + place in wanted)
        before += len(block)
    if not before:
        raise VectorsError(f"{path}: there is no picture in it")
    return Grouped(before, groups, names, origin.folder, APPROXIMATE)
