"""The order of images that reads whole shards: shards in random order, images shuffled among those that lie near in it.

An epoch is the shards one after another, in an order drawn from (seed, epoch), each from its first image to its last. That row of
images is cut into windows of `buffer` images, and each is shuffled by itself, drawn from (seed, epoch, window). So a step reads
from the shards of one window, two where it crosses an edge, and memory holds one window's order.

How it differs from one permutation of all: two images meet in a batch only when their shards stand side by side in that epoch's
order. Shards in which all images are alike, a class each, need a buffer of many shards.
"""

from __future__ import annotations

import numpy as np

from soda.common.errors import InputError
from soda.common.seeds import seed_of
from soda.data.stretches import spans


class ShardOrder:
    """The endless order. Positions are those of a split whose shards hold `lengths` images of it, one after another."""

    def __init__(self, lengths: np.ndarray, buffer: int, seed: int) -> None:
        """lengths: (m,) int64. Raises InputError where there is no image."""
        self.count, self.seed, self.buffer = int(lengths.sum()), seed, buffer
        if self.count < 1:
            raise InputError("the train split is empty: nothing to train on")
        self._lengths, self._starts = lengths, np.cumsum(lengths) - lengths
        self._epoch, self._shards, self._edges = -1, np.empty(0, np.int64), np.zeros(1, np.int64)
        self._window, self._order = (-1, -1), np.empty(0, np.int64)

    def indices(self, start: int, length: int) -> np.ndarray:
        """Positions start .. start + length of the order, as indices into the split. (length,) int64."""
        parts, place, stop = [], start, start + length
        while place < stop:
            epoch, here = divmod(place, self.count)
            window = here // self.buffer
            order = self._of_window(epoch, window)
            first = here - window * self.buffer
            parts.append(order[first : first + stop - place])
            place += len(parts[-1])
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def window_at(self, position: int) -> int:
        """The number of the window that a position of the order is in, over all epochs."""
        epoch, here = divmod(position, self.count)
        return epoch * -(-self.count // self.buffer) + here // self.buffer

    def shards_of(self, window: int) -> np.ndarray:
        """The shards of a window, by their place in `lengths`, as they come: (k,) int64."""
        epoch, here = divmod(window, -(-self.count // self.buffer))
        shards, edges = self._of_epoch(epoch)
        low, high = self._span(edges, here * self.buffer)
        return shards[low:high]

    @property
    def most_at_once(self) -> int:
        """The most shards that a window can be of: the smallest, and a part of one at either end."""
        whole = np.searchsorted(np.cumsum(np.sort(self._lengths)), self.buffer - 2, side="right")
        return min(len(self._lengths), int(whole) + 2)

    def _span(self, edges: np.ndarray, first: int) -> tuple[int, int]:
        """Which of the epoch's shards the window that begins at `first` is of."""
        last = min(first + self.buffer, self.count) - 1
        low, high = np.searchsorted(edges, (first, last), side="right") - 1
        return int(low), int(high) + 1

    def _of_epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The shards as they are visited, (m,), and where each begins, (m + 1,)."""
        if epoch == self._epoch:
            return self._shards, self._edges
        shards = np.random.default_rng(seed_of("shards", self.seed, epoch)).permutation(len(self._lengths))
        return shards, np.concatenate(([0], np.cumsum(self._lengths[shards])))

    def _of_window(self, epoch: int, window: int) -> np.ndarray:
        """A window's images, shuffled: (buffer or fewer,) int64."""
        if (epoch, window) != self._window:
            self._shards, self._edges = self._of_epoch(epoch)
            self._epoch, self._window = epoch, (epoch, window)
            first = window * self.buffer
            stop = min(first + self.buffer, self.count)
            low, high = self._span(self._edges, first)
            shards, begins = self._shards[low:high], self._edges[low:high]
            skipped = np.maximum(first - begins, 0)
            taken = np.minimum(stop - begins, self._lengths[shards]) - skipped
            images = spans(self._starts[shards] + skipped, taken)
            generator = np.random.default_rng(seed_of("window", self.seed, epoch, window))
            self._order = generator.permutation(images)
        return self._order
