"""Pairs of near vectors among millions, in flat memory: rows are put into cells on disk, and compared within these.

Time grows with n to the power of 1.5 at most. `docs/notebook/deployment.md` has figures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Lock

import numpy as np

from soda.common.checks import cosine
from soda.common.cores import in_order, usable_cores
from soda.runtime.neighbours import BLOCK_CELLS, Groups
from soda.vectors.cells import BLOCK, Cells
from soda.vectors.spill import Spill

Blocks = Callable[[], Iterable[np.ndarray]]
"""Gives all rows anew, some at a time: (n, D) float32 of length 1."""

SAMPLE = 65_536
"""Rows that the cells are made of."""

CROWD = 16_384
"""Rows at home in one cell from which crowds are taken out of it: rows that lie together around one of them."""

GRID = float(1 << 12)
"""Rows in one cell of a grid of 1 / GRID are taken for equal, where they are then near enough: each stands for many."""

ROWS = 6
"""Places in which a row waits on disk, about: at home and where it visits."""

SHORT = 32
"""Numbers of a row by which most pairs are left out."""

_PAIRS = 1 << 21  # that are joined at once
_ROUNDED = 2e-4  # what the rounding of the rows on disk may take from a cosine


def near_groups(blocks: Blocks, threshold: float, folder: Path | None = None) -> list[list[int]]:
    """Rows linked by cosines of `threshold` or more (rounded to 2e-4), as `soda.runtime.duplicates`; a few pairs in a thousand
    may be missed, fewer the nearer they are.

    folder: where the rows wait, some 1.6 kB each at 128 numbers; by default where temporary files go.
    Raises ValueError for a threshold outside -1 .. 1.
    """
    cosine("threshold", threshold)
    stamps, sample = _survey(blocks, threshold)
    groups = Groups(len(stamps))
    distinct = _join_equals(groups, stamps)
    del stamps
    found = _Found(groups)
    cells, width, axes = Cells.of(sample, int(distinct.sum()), threshold), sample.shape[1], _axes(sample)
    del sample
    with tempfile.TemporaryDirectory(dir=folder, prefix=".soda-") as waiting:
        spill = Spill(Path(waiting), len(cells.centres), width, ROWS * len(distinct))
        try:
            _put(blocks, distinct, cells, spill)
            for _ in in_order(lambda cell: _compare(*cell, axes, threshold - _ROUNDED, found), spill.cells(), usable_cores()):
                pass
        finally:
            spill.close()
    found.join()
    return groups.several()


def _survey(blocks: Blocks, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """A number for each row, the same for rows that are equal, and rows drawn at random: (n,) int64 and (s, D)."""
    rng = np.random.default_rng(0)
    stamps: list[np.ndarray] = []
    sample: list[np.ndarray] = []
    factors: np.ndarray | None = None
    share, kept = 1.0, 0
    for block in blocks():
        if factors is None:
            factors = np.asarray(2 * rng.integers(1 << 62, size=block.shape[1], dtype=np.int64) + 1)
        stamps.append(_stamps(block, factors, threshold))
        chosen = block[rng.random(len(block)) < share]
        sample.append(chosen)
        kept += len(chosen)
        if kept > 2 * SAMPLE:  # each row is in it with the same chance
            rows = np.concatenate(sample)
            rows = rows[rng.random(len(rows)) < 0.5]
            sample, share, kept = [rows], share / 2, len(rows)
    return np.concatenate(stamps), np.concatenate(sample)


def _stamps(z: np.ndarray, factors: np.ndarray, threshold: float) -> np.ndarray:
    """Of rows in one cell of the grid the same; where the threshold is too high for that, of rows that are equal bit by bit."""
    near_enough = 1 - threshold >= 4 * z.shape[1] / GRID**2
    whole = np.floor(z * np.float32(GRID) + np.float32(0.5)) if near_enough else (z + np.float32(0)).view(np.int32)  # -0 is 0
    return (whole.astype(np.int64) * factors).sum(1)


def _join_equals(groups: Groups, stamps: np.ndarray) -> np.ndarray:
    """Join equal rows; returns (n,) bool, the first of each kind."""
    order = np.argsort(stamps, kind="stable")
    new = np.concatenate([[True], np.diff(stamps[order]) != 0])
    firsts = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
    groups.join(firsts[~new], order[~new])
    distinct = np.zeros(len(stamps), bool)
    distinct[order[new]] = True
    return distinct


def _put(blocks: Blocks, distinct: np.ndarray, cells: Cells, spill: Spill) -> None:
    def numbered() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        before = 0
        for block in _of(BLOCK, blocks()):
            rows = np.flatnonzero(distinct[before : before + len(block)])
            yield before + rows, block[rows]
            before += len(block)

    for (rows, z), (home, seen, visited) in in_order(lambda each: (each, cells.visited(each[1])), numbered(), usable_cores()):
        spill.add(z, rows, home, guest=False)
        spill.add(z[seen], rows[seen], visited, guest=True)


def _of(size: int, blocks: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
    """The same rows, `size` at a time."""
    waiting: list[np.ndarray] = []
    held = 0
    for block in blocks:
        waiting.append(block)
        held += len(block)
        if held >= size:
            rows = np.concatenate(waiting)
            full = held - held % size
            yield from (rows[start : start + size] for start in range(0, full, size))
            waiting, held = [rows[full:]], held - full
    if held:
        yield np.concatenate(waiting)


def _axes(sample: np.ndarray) -> np.ndarray:
    """Those along which rows of a sample (s, D) are longest, or all where D is small: (D, up to SHORT - 1)."""
    width = sample.shape[1]
    return np.linalg.eigh(sample.T @ sample)[1][:, ::-1][:, : SHORT - 1 if width > 2 * SHORT else width]


def _compare(z: np.ndarray, rows: np.ndarray, homes: int, axes: np.ndarray, least: float, found: _Found) -> None:
    """Those at home in a cell with each other and with its guests."""
    while homes > CROWD:
        near = z @ z[0] >= least
        if near[:homes].sum() < homes // 64:
            break
        found.add(np.full(int(near.sum()) - 1, rows[0]), rows[near][1:])
        left = ~near
        z, rows, homes = z[left], rows[left], homes - int(near[:homes].sum())
    short = z @ axes
    rest = np.sqrt(np.maximum(0, (z * z).sum(1) - (short * short).sum(1)))
    short = np.concatenate([short, rest[:, None]], axis=1)
    step = max(1, BLOCK_CELLS // max(1, len(z)))
    for start in range(0, homes, step):
        i, j = _linked(z, short, slice(start, min(start + step, homes)), least)
        found.add(rows[i], rows[j])


def _linked(z: np.ndarray, short: np.ndarray, here: slice, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Places i < j of pairs of z (n, D) whose cosine is `least` or more, i of `here`: (p,) twice.

    short: (n, k) the rows along some axes, and the length of what is left of each. The product of two short ones is no less than
    that of the whole ones (Cauchy and Schwarz), and costs a fraction of it: few pairs are left to be measured.
    """
    bound = short[here] @ short[here.start :].T
    places = np.flatnonzero(bound >= least - 1e-5)  # nonzero of two axes takes as long as the product
    few = len(places) <= bound.size // 64
    if not few:
        places = np.flatnonzero(z[here] @ z[here.start :].T >= least)
    i, j = np.divmod(places, bound.shape[1])
    news = i < j
    i, j = here.start + i[news], here.start + j[news]
    if few:
        near = np.einsum("ij,ij->i", z[i], z[j]) >= least
        i, j = i[near], j[near]
    return i, j


class _Found:
    """Pairs that wait to be joined: each joining looks at all rows. Several threads may add some."""

    def __init__(self, groups: Groups) -> None:
        self._groups, self._pairs, self._count = groups, list[tuple[np.ndarray, np.ndarray]](), 0
        self._lock = Lock()

    def add(self, a: np.ndarray, b: np.ndarray) -> None:
        with self._lock:
            self._pairs.append((a, b))
            self._count += len(a)
            if self._count >= _PAIRS:
                self._join()

    def join(self) -> None:
        with self._lock:
            self._join()

    def _join(self) -> None:
        if self._pairs:
            self._groups.join(*(np.concatenate(side) for side in zip(*self._pairs, strict=True)))
        self._pairs, self._count = [], 0
