"""Which pictures of a folder are in a store as they are: of these nothing is done again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from soda.runtime.names import printable
from soda.vectors import VectorsError
from soda.vectors.origin import Origin
from soda.vectors.stores.kinds import Database, Rows, Store


class Known:
    """The rows of a store by name, size and time of their files: 17 bytes a row. kept: (n,) bool, those asked for."""

    def __init__(self, store: Store, origin: Origin, *, anew: bool = False) -> None:
        """Of what is in `store` already, if it came from the same folder by the same encoder in the same way. anew: of
        nothing."""
        self.origin = None if anew else store.origin()
        self.store, self._last = store, -1
        self._in_order = not isinstance(store, Database)
        stamps = np.empty(0, np.uint64)
        if self.origin == origin:
            try:
                stamps = np.concatenate([stamps, *(_stamps(rows) for rows in store.rows(vectors=False))])
            except VectorsError:  # damaged: it is made anew
                self.origin = None
        self.same = self.origin == origin
        order = np.argsort(stamps, kind="stable")
        self._stamps, self._rows = stamps[order], order
        self.kept = np.zeros(len(stamps), bool)

    def keep(self, name: str, size: int, modified: int) -> bool:
        """Whether the picture is there as it is; names come in the order of the folder's walk."""
        if not len(self._stamps) or modified < 0:
            return False
        stamp = _stamp(printable(name), size, modified)
        place = int(np.searchsorted(self._stamps, np.uint64(stamp)))
        if place == len(self._stamps) or int(self._stamps[place]) != stamp:
            return False
        row = int(self._rows[place])
        if self.kept[row] or (self._in_order and row < self._last):
            return False
        self.kept[row], self._last = True, row
        return True

    def rows(self) -> Iterator[Rows]:
        """Those kept, with their vectors, in the order of the store."""
        before = 0
        for rows in self.store.rows() if self.kept.any() else ():
            here = self.kept[before : before + len(rows)]
            if len(here) < len(rows):
                raise VectorsError(f"{self.store.path}: another program wrote into it; the same command begins anew")
            yield rows.where(here)
            before += len(rows)

    def gone(self) -> list[str]:
        """Names of those that are not as they were, or no longer there."""
        stays, names = self._stamps[self.kept[self._rows]], list[str]()
        for rows in self.store.rows(vectors=False) if not self.kept.all() else ():
            left = ~np.isin(_stamps(rows), stays)  # a database need not give its rows twice in one order
            names += [name for name, gone in zip(rows.names, left, strict=True) if gone]
        return names


def _stamps(rows: Rows) -> np.ndarray:
    noted = zip(rows.names, rows.sizes.tolist(), rows.modified.tolist(), strict=True)
    return np.fromiter((_stamp(*each) for each in noted), np.uint64, len(rows))


def _stamp(name: str, size: int, modified: int) -> int:
    """64 bits: of a million pictures two are taken for one another once in 30 million tables."""
    text = f"{size} {modified} {name}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
