"""Equal rows of a table, each kind of which is to be looked at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BLOCK = 1 << 16


@dataclass(frozen=True)
class Equals:
    """Rows of one and the same numbers. first: the first row of each group (m,), ascending; group: of each row (n,); members: all
    rows, group by group; starts: where in `members` each group begins, and the end (m + 1,)."""

    first: np.ndarray
    group: np.ndarray
    members: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, z: np.ndarray) -> Equals:
        """Of the rows of z (n, D) float32. Beside what it returns it takes a few numbers a row, whatever D is."""
        keys = _hashed(z)
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        group = group.reshape(-1)
        for start in range(0, len(z), _BLOCK):  # what merely has another's hash is a group of its own
            here = slice(start, start + _BLOCK)
            odd = start + np.flatnonzero((z[here] != z[first[group[here]]]).any(1))
            group[odd] = len(first) + np.arange(len(odd))
            first = np.concatenate([first, odd])
        order = np.argsort(first, kind="stable")  # as they come in the table
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        group = rank[group]
        members = np.argsort(group, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=len(first)))])
        return cls(first[order], group, members, starts)

    def members_of(self, groups: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The first k rows of a list of groups (q, g), which hold k at least: rows (q, k), and for each the column of its group."""
        sizes = np.diff(self.starts)[groups]
        ends = np.cumsum(sizes, axis=1)
        place = np.arange(k)
        column = np.empty((len(groups), k), np.int64)
        for start in range(0, len(groups), _BLOCK):
            here = slice(start, start + _BLOCK)
            column[here] = (ends[here, :, None] <= place).sum(1)
        inside = place - np.take_along_axis(ends - sizes, column, 1)
        return self.members[self.starts[np.take_along_axis(groups, column, 1)] + inside], column


def _hashed(z: np.ndarray) -> np.ndarray:
    """A number for each row (n,) uint64, the same for equal ones: the sum of its bits, each column times an odd number."""
    factors = np.random.default_rng(0).integers(1 << 63, size=z.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    out = np.empty(len(z), np.uint64)
    for start in range(0, len(z), _BLOCK):
        block = np.ascontiguousarray(z[start : start + _BLOCK] + np.float32(0))  # of the two zeros one
        out[start : start + _BLOCK] = (block.view(np.uint32).astype(np.uint64) * factors).sum(1, dtype=np.uint64)
    return out
