"""The last step of `soda embed`: what was kept and what was made go into the store together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np

from soda.runtime.names import printable
from soda.vectors import VectorsError
from soda.vectors.origin import Origin
from soda.vectors.pieces import listing, parts, read_part
from soda.vectors.stores.kinds import BLOCK, Database, Rows
from soda.vectors.stores.known import Known

Row = tuple[str, int, int, np.ndarray]
"""Name, size, time and z (D,) of a picture."""


@dataclass
class Tally:
    """What went in. refused: called with name and reason of each picture that could not be read."""

    refused: Callable[[str, str], object]
    pictures: int = 0
    kept: int = 0
    skipped: int = 0


def put(work: Path, known: Known, origin: Origin, tally: Tally) -> None:
    """Bring the store up to what the listing and the parts in `work` say. What has not changed is not written, where that can be.

    Nothing is written where there is no picture to put in. Raises VectorsError for a part that is damaged.
    """
    tally.kept = int(known.kept.sum())
    made = _made(work, tally)
    first = next(made, None)
    if first is None and not tally.kept:
        return
    made = chain([first] if first else [], made)
    store = known.store
    if known.same and isinstance(store, Database):
        gone = known.gone()  # before it is opened to be changed
        with store.changes(origin) as changes:
            changes.remove(gone)
            for rows in _blocks(made):
                changes.append(rows)
    elif not (known.same and known.kept.all() and first is None):
        with store.writer(origin) as sink:
            for rows in _blocks(_in_order(work, known.rows(), made)):
                sink.append(rows)
    tally.pictures += tally.kept


def _made(work: Path, tally: Tally) -> Iterator[Row]:
    """The rows of the parts, in the order of the listing."""
    for piece in parts(work):
        part = read_part(piece.path)
        if part is None:
            raise VectorsError(f"{piece.path}: this part is damaged; the same command makes it again")
        for name, reason in part.skipped:
            tally.refused(name, reason)
        tally.skipped += len(part.skipped)
        tally.pictures += len(part.files)
        found = dict(zip(part.files, part.z, strict=True))
        for each in piece.pictures:
            if each.name in found:
                yield printable(each.name), each.size, each.modified, found[each.name]


def _in_order(work: Path, kept: Iterable[Rows], made: Iterator[Row]) -> Iterator[Row]:
    """Both kinds of rows, in the order of the listing, which is that of each kind."""
    old = (row for rows in kept for row in zip(rows.names, rows.sizes.tolist(), rows.modified.tolist(), rows.z, strict=True))
    new = next(made, None)
    for each in listing(work):
        if each.kept:
            yield next(old)
        elif new is not None and new[0] == printable(each.name):
            yield new
            new = next(made, None)


def _blocks(rows: Iterable[Row]) -> Iterator[Rows]:
    source = iter(rows)
    while block := list(islice(source, BLOCK)):
        names, sizes, modified, z = zip(*block, strict=True)
        yield Rows(names, np.asarray(sizes, np.int64), np.asarray(modified, np.int64), np.stack(z))
