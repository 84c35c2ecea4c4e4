"""Where the pictures of a split lie, as stretches: pictures that are neighbours in the manifest and in one shard.

Preparation writes split by split, so that a split has one stretch a shard; memory grows with shards and not with pictures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Stretches:
    """Each (m,) int64, in manifest order: the first picture's row of the manifest, shard and row within it; how many."""

    rows: np.ndarray
    shards: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, pieces: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Stretches:
        """From (row of the manifest, shard, row within it) of each picture, ascending by the first, a piece at a time."""
        found = [_stretches(*piece) for piece in pieces if len(piece[0])]
        if not found:
            return cls(*np.zeros((4, 0), np.int64))
        return cls(*_joined(np.concatenate(found, axis=1)))

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def starts(self) -> np.ndarray:
        """Position in the split of each one's first picture, and their number: (m + 1,) int64."""
        return np.concatenate(([0], np.cumsum(self.lengths)))

    @property
    def count(self) -> int:
        """Pictures in all of them."""
        return int(self.starts[-1])

    def places(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shards and rows within them of positions in the split, (n,) int64 each. Raises IndexError as an array does."""
        if len(positions) and not (-self.count <= positions.min() and positions.max() < self.count):
            raise IndexError(f"positions {positions.min()} to {positions.max()} of a split of {self.count} pictures")
        positions = np.where(positions < 0, positions + self.count, positions)
        which = np.searchsorted(self.starts, positions, side="right") - 1
        return self.shards[which], self.offsets[which] + positions - self.starts[which]

    def within(self, start: int, stop: int) -> np.ndarray:
        """Rows of the manifest from start to stop that are in them, ascending, less start: (n,) int64."""
        first = np.searchsorted(self.rows + self.lengths, start, side="right")
        last = np.searchsorted(self.rows, stop, side="left")
        low = np.maximum(self.rows[first:last], start) - start
        high = np.minimum(self.rows[first:last] + self.lengths[first:last], stop) - start
        return spans(low, high - low)


def spans(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """start, start + 1 … of each, one after another: (m,), (m,) int64 -> (sum of lengths,) int64."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


def _stretches(rows: np.ndarray, shards: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """(4, m) int64 of one piece."""
    breaks = (np.diff(rows) != 1) | (np.diff(shards) != 0) | (np.diff(offsets) != 1)
    first = np.concatenate(([0], np.flatnonzero(breaks) + 1))
    lengths = np.diff(np.append(first, len(rows)))
    return np.stack([rows[first], shards[first], offsets[first], lengths]).astype(np.int64)


def _joined(found: np.ndarray) -> np.ndarray:
    """Those that go on where the one before ends are one: (4, m) -> (4, fewer)."""
    rows, shards, offsets, lengths = found
    goes_on = (rows[1:] == (rows + lengths)[:-1]) & (shards[1:] == shards[:-1]) & (offsets[1:] == (offsets + lengths)[:-1])
    first = np.concatenate(([0], np.flatnonzero(~goes_on) + 1))
    return np.stack([rows[first], shards[first], offsets[first], np.add.reduceat(lengths, first)])
