"""Rows of a table that are equal, or all but equal: of each kind one is enough for an index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STEP = float(1 << 10)
"""Rows in one cell of a grid of 1 / STEP count as equal: the same picture in another batch, or saved anew with hardly a loss. Who
uses a group measures its rows themselves."""

GRIDS = 6
"""Grids, each shifted by chance: equals that one grid parts fall together in another."""

_BLOCK = 1 << 16


@dataclass(frozen=True)
class Equals:
    """first: the first row of each group (m,), ascending; group: of each row (n,); members: all rows, group by group; starts:
    where in `members` each group begins, and the end (m + 1,)."""

    first: np.ndarray
    group: np.ndarray
    members: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, z: np.ndarray) -> Equals:
        """Of the rows of z (n, D) float32. Beside what it returns it takes a few numbers a row, whatever D is."""
        rng = np.random.default_rng(0)
        first, group = np.arange(len(z)), np.arange(len(z))
        for _ in range(GRIDS):
            factors = 2 * rng.integers(1 << 62, size=(z.shape[1],), dtype=np.int64) + 1
            cells = _cells(z, first, rng.random((z.shape[1],), dtype=np.float32), factors)
            _, earliest, kind = np.unique(cells, return_index=True, return_inverse=True)
            order = np.argsort(earliest, kind="stable")  # as they come in the table
            rank = np.empty(len(order), np.int64)
            rank[order] = np.arange(len(order))
            first, group = first[earliest[order]], rank[kind.reshape(-1)][group]
        starts = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=len(first)))])
        return cls(first, group, np.argsort(group, kind="stable"), starts)

    def members_of(self, groups: np.ndarray, k: int) -> np.ndarray:
        """The first k rows of lists of groups (q, g) that hold k at least: (q, k)."""
        sizes = np.diff(self.starts)[groups]
        ends = np.cumsum(sizes, axis=1)
        place = np.arange(k)
        column = (ends[:, :, None] <= place).sum(1)
        inside = place - np.take_along_axis(ends - sizes, column, 1)
        return self.members[self.starts[np.take_along_axis(groups, column, 1)] + inside]


def lonely_first(z: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`rows` (m,) of z as places 0 to m - 1, those with many alike last, so that an index is not built around a crowd.

    How many are alike is estimated: by rows on the same side of 24 planes through 0 (Charikar 2002).
    """
    planes = np.random.default_rng(0).normal(size=(z.shape[1], 24)).astype(np.float32)
    sides = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), _BLOCK):
        sides[start : start + _BLOCK] = (z[rows[start : start + _BLOCK]] @ planes > 0) @ (1 << np.arange(24))
    _, kind, counts = np.unique(sides, return_inverse=True, return_counts=True)
    return np.argsort(counts[kind.reshape(-1)], kind="stable")


def _cells(z: np.ndarray, rows: np.ndarray, shift: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """A number for the cell in which each of `rows` (m,) lies: the sum of its coordinates, each times an odd number; it wraps."""
    out = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), _BLOCK):
        cell = np.floor(z[rows[start : start + _BLOCK]] * np.float32(STEP) + shift).astype(np.int64)
        out[start : start + _BLOCK] = (cell * factors).sum(1)
    return out
