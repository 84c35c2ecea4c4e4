"""Which pictures a step sees, and with what random numbers: functions of (seed, step), so that a resumed run draws the same."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from soda.common.errors import InputError
from soda.common.seeds import seed_of
from soda.data.dataset import Split
from soda.data.pairs import Partners


class Order:
    """The endless order of pictures: one permutation an epoch, each from (seed, epoch)."""

    def __init__(self, count: int, seed: int) -> None:
        if count < 1:
            raise InputError("the train split is empty: nothing to train on")
        self.count, self.seed = count, seed
        self._epoch, self._permutation = -1, np.empty(0, dtype=np.int64)

    def indices(self, start: int, length: int) -> np.ndarray:
        """Positions start .. start + length of the order, as indices into the split. (length,) int64."""
        positions = np.arange(start, start + length)
        out = np.empty(length, dtype=np.int64)
        for epoch in np.unique(positions // self.count):
            if epoch != self._epoch:
                generator = np.random.default_rng(seed_of("order", self.seed, int(epoch)))
                self._epoch, self._permutation = int(epoch), generator.permutation(self.count)
            here = positions // self.count == epoch
            out[here] = self._permutation[positions[here] % self.count]
        return out


def chosen(order: Order, step: int, batch_size: int, share: slice, partners: Partners | None) -> tuple[np.ndarray, ...]:
    """This process's share of step `step`'s pairs: positions in the split of the sources, the targets and, where partners have
    them, the styles, (b,) int64 each.
    """
    which = order.indices(step * batch_size, batch_size)
    if partners is None:
        return which[share], which[share]
    pictures = partners.draw_pictures(which, np.random.default_rng(seed_of("pairs", order.seed, step)))
    return tuple(positions[share] for positions in pictures)


def batches(
    split: Split,
    order: Order,
    *,
    batch_size: int,
    share: slice,
    first_step: int,
    last_step: int,
    partners: Partners | None = None,
) -> Iterator[np.ndarray]:
    """uint8 batches (b, S, S, C), this process's share of each global batch; the next one is read while this one is used.

    With `partners` (whose anchors `order` is then about) a pair of pictures each, (b, S, S, 2C): the source's channels, then the
    target's, as `view_pair` takes them; then those of a style or of further sources, where they have them.
    """

    def read(step: int) -> np.ndarray:
        pictures = chosen(order, step, batch_size, share, partners)
        if partners is None:
            return split.gather(pictures[0])
        return np.concatenate([split.gather(positions) for positions in pictures], axis=-1)

    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = pool.submit(read, first_step)
        for step in range(first_step, last_step):
            batch = pending.result()
            if step + 1 < last_step:
                pending = pool.submit(read, step + 1)
            yield batch
