"""Rows on disk, put in order by cell: memory holds a part of the cells at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

PART_BYTES = 40 << 20
"""About what is read at once."""


class Spill:
    """Takes rows with the cells that they belong to, and gives them back cell by cell. Vectors wait as float16: a cosine is then
    wrong by some 1e-4 at most."""

    def __init__(self, folder: Path, cells: int, width: int, expected: int) -> None:
        """folder: empty; expected: rows in all, about."""
        self._form = np.dtype([("cell", "<u4"), ("row", "<u4"), ("guest", "?"), ("z", "<f2", (width,))])
        files = int(np.clip(expected * self._form.itemsize / PART_BYTES, 1, min(cells, 400)))
        self._of_file = -(-cells // files)
        self._files = [(folder / f"{number}").open("w+b") for number in range(files)]

    def add(self, z: np.ndarray, rows: np.ndarray, cells: np.ndarray, *, guest: bool) -> None:
        """z (n, D) of length 1, their numbers and their cells; guest: they visit these cells, and are at home in others."""
        records = np.empty(len(rows), self._form)
        order = np.argsort(cells // self._of_file, kind="stable")
        records["cell"], records["row"], records["guest"], records["z"] = cells[order], rows[order], guest, z[order]
        files = records["cell"] // self._of_file
        for number, start, end in _runs(files):
            self._files[number].write(records[start:end].tobytes())

    def cells(self) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        """Of each cell z (n, D) float32 and the numbers (n,) of its rows, those at home first, and how many these are."""
        for file in self._files:
            file.seek(0)
            records = np.frombuffer(file.read(), self._form)
            file.seek(0)
            file.truncate()
            order = np.argsort(records["cell"].astype(np.int64) * 2 + records["guest"], kind="stable")
            for _, start, end in _runs(records["cell"][order]):
                here = order[start:end]
                guests = int(records["guest"][here].sum())
                yield records["z"][here].astype(np.float32), records["row"][here].astype(np.int64), len(here) - guests

    def close(self) -> None:
        for file in self._files:
            file.close()


def _runs(values: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Each run of equal values: the value, where it begins and where it ends."""
    if not len(values):
        return
    starts = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1, [len(values)]])
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        yield int(values[start]), start, end
