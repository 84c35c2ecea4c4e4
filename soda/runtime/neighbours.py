"""What latents are good for: likeness, nearest neighbours, duplicates and novelty, exactly and in NumPy.

All work on cosines; latents from `Encoder.embed(..., normalize="stats+l2")` are best compared. Blocks keep memory flat: beside
what is given and returned, a few tens of megabytes.
"""

from __future__ import annotations

import numpy as np

from soda.common.checks import cosine, whole_number
from soda.common.errors import InputError

BLOCK_CELLS = 1 << 22
"""Cosines held at once (16 MB)."""
PAIR_ROWS = 64
"""Rows of cosines whose pairs are held at once: of a set of equals every column is one."""


def similarity(a: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    """Cosines of every row of a (n, D) with every row of b (m, D), by default of a itself: (n, m) float32 in [-1, 1].

    A zero vector has cosine 0 with everything. Raises ValueError for arrays that are no matrices of one width, and for values
    that are not finite.
    """
    left = unit_rows(a, "a")
    right = left if b is None else unit_rows(b, "b")
    _check_width(left, right)
    return np.clip(left @ right.T, -1, 1)


def nearest(queries: np.ndarray, bank: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The min(k, m) rows of bank (m, D) nearest to each of queries (n, D): indices (n, k) int64, cosines (n, k), best first.

    Equal cosines come in the order of the bank. Raises ValueError as `similarity` does, and for k below 1.
    """
    whole_number("k", k, 1)
    left, right = unit_rows(queries, "queries"), unit_rows(bank, "bank")
    _check_width(left, right)
    k, rows = min(k, len(right)), max(1, BLOCK_CELLS // max(1, len(right)))
    indices, cosines = np.empty((len(left), k), np.int64), np.empty((len(left), k), np.float32)
    for start in range(0, len(left), rows):
        block = left[start : start + rows] @ right.T
        here = slice(start, start + len(block))
        indices[here], cosines[here] = best_of(block, k)
    return indices, np.clip(cosines, -1, 1)


def best_of(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k greatest of each row of scores (n, m), greatest first, equal ones by column: columns (n, k) int64 and scores (n,
    k)."""
    m = scores.shape[1]
    if k < m:
        least = np.partition(scores, m - k, axis=1)[:, m - k, None]  # the k-th greatest of each row
        above, equal = scores > least, scores == least
        missing = k - above.sum(1, keepdims=True)
        chosen = above | (equal & (np.cumsum(equal, axis=1) <= missing))
        columns = np.nonzero(chosen)[1].reshape(len(scores), k)
    else:
        columns = np.broadcast_to(np.arange(m), (len(scores), m))
    values = np.take_along_axis(scores, columns, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(columns, order, 1), np.take_along_axis(values, order, 1)


def duplicates(z: np.ndarray, *, threshold: float = 0.98) -> list[list[int]]:
    """Groups of pictures that are nearly one another: rows of z (n, D) linked by cosines of `threshold` or more.

    Each group holds two or more ascending row numbers; groups come in the order of their first. A chain of likeness makes one
    group. Time grows with the square of n: `soda duplicates` uses an approximate index for many. Raises ValueError for a
    threshold
    outside -1 .. 1.
    """
    cosine("threshold", threshold)
    unit = unit_rows(z, "z")
    groups = Groups(len(unit))
    rows = max(1, BLOCK_CELLS // max(1, len(unit)))
    for start in range(0, len(unit), rows):
        block = unit[start : start + rows] @ unit[start:].T  # the lower triangle says nothing new
        groups.join_where(block >= threshold, start)
    return groups.several()


def novelty(z: np.ndarray, bank: np.ndarray | None = None, *, k: int = 5) -> np.ndarray:
    """How far each row of z (n, D) is from what is known: 1 minus the mean cosine with its k nearest of bank (m, D). (n,) in
    [0, 2].

    Without a bank each row is held to all the others. Raises ValueError as `nearest` does, and when there is nothing to
    compare with.
    """
    whole_number("k", k, 1)
    known = z if bank is None else bank
    if len(known) < (2 if bank is None else 1):
        raise InputError(f"novelty is measured against other pictures; there are {len(known)} in all")
    if bank is not None:
        return 1 - nearest(z, bank, k)[1].mean(1)
    indices, cosines = nearest(z, z, k + 1)
    return 1 - without_self(indices, cosines)[1].mean(1)


def without_self(indices: np.ndarray, cosines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours (n, k + 1) of a set in itself, without each row's own entry, or else its last: (n, k) twice."""
    own = indices == np.arange(len(indices))[:, None]
    own[~own.any(1), -1] = True  # among many equals a row need not be its own nearest
    shape = (len(indices), indices.shape[1] - 1)
    return indices[~own].reshape(shape), cosines[~own].reshape(shape)


class Groups:
    """Union-find over 0 .. count - 1."""

    def __init__(self, count: int) -> None:
        self._parent = np.arange(count)

    def join(self, a: np.ndarray, b: np.ndarray) -> None:
        """Make one group of those of a[i] and b[i], for every i of two (n,) int64. All pairs at once: among equals there are very
        many, and few of them are news."""
        while len(a):
            roots = self._roots()
            left, right = roots[a], roots[b]
            news = left != right
            a, b, left, right = a[news], b[news], left[news], right[news]
            # Each root is hung under the least that it is linked to here; the other links wait for the next round.
            high, low = np.maximum(left, right), np.minimum(left, right)
            np.minimum.at(self._parent, high, low)

    def join_where(self, linked: np.ndarray, first: int) -> None:
        """Join first + i and first + j wherever linked (n, m) of booleans says so and i < j; a slice of the pairs at a time."""
        for start in range(0, len(linked), PAIR_ROWS):
            i, j = np.nonzero(linked[start : start + PAIR_ROWS])
            i += start
            news = i < j  # the diagonal says nothing, the triangle below it nothing new
            self.join(first + i[news], first + j[news])

    def several(self) -> list[list[int]]:
        """Groups of two or more, each ascending, in the order of their first members."""
        roots = self._roots()
        company = np.zeros(len(roots), bool)
        company[roots[roots != np.arange(len(roots))]] = True
        rows = np.flatnonzero(company[roots])  # few as a rule: a list for each row would take more memory than all else
        order = rows[np.argsort(roots[rows], kind="stable")]
        groups = np.split(order, np.flatnonzero(np.diff(roots[order])) + 1)
        return [group.tolist() for group in groups if len(group)]

    def _roots(self) -> np.ndarray:
        """The root of every member, by halving all paths at once until none is longer than one step."""
        while True:
            nearer = self._parent[self._parent]
            if np.array_equal(nearer, self._parent):
                return nearer
            self._parent = nearer


def unit_rows(z: np.ndarray, name: str = "z") -> np.ndarray:
    """z (n, D) with rows of length 1 (zero rows stay): float32. Raises ValueError for another shape or values that are not
    finite."""
    array = np.asarray(z, np.float32)
    if array.ndim != 2:
        raise InputError(f"{name} has shape {np.shape(z)}; latents are (n, D)")
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(array, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        row = int(np.flatnonzero(~np.isfinite(lengths))[0])
        raise InputError(f"{name} holds values that are not finite or too large for latents, the first in row {row}")
    return array / np.maximum(lengths, np.finfo(np.float32).tiny)


def _check_width(left: np.ndarray, right: np.ndarray) -> None:
    if left.shape[1] != right.shape[1]:
        raise InputError(f"latents of {left.shape[1]} and of {right.shape[1]} numbers cannot be compared")
