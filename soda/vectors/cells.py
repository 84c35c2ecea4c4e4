"""Space cut into cells, so that rows are held to those of a few cells and not to all: an inverted file (Sivic & Zisserman 2003).

A row's home is the cell of the nearest centre. Of a pair whose cosine is t or more, the rows lie at most delta = sqrt(2 - 2 t)
apart. Let y be the one row, at home with c', and x the other, at home with c: then y c >= y c' - delta |c - c'|, as x is nearer
to c than to c'. So x is found in one of the cells that y visits: those within that margin. The bound is met only by a
difference along c - c'; in many dimensions differences point elsewhere, and a share of the margin (REACH) is enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

REACH = 0.3
"""Of the margin that would miss no pair, what is used: `python -m benchmarks.duplicates_scale` says what is found with it."""

VISITS = 32
"""Cells that a row visits at most, the nearest ones."""

BLOCK = 4096
"""Rows held to all centres at once."""

_ROUNDS = 3  # of Lloyd's algorithm: cells need only be of about one size
_OF_CENTRE = 24  # rows of the sample for each centre


@dataclass(frozen=True)
class Cells:
    """centres: (c, D) float32 of length 1; apart: (c, c) float32, by how much less than at home a visitor may be near."""

    centres: np.ndarray
    apart: np.ndarray

    @classmethod
    def of(cls, sample: np.ndarray, count: int, threshold: float) -> Cells:
        """As many as make the search among `count` rows quickest, from a sample (s, D) of them, of length 1."""
        wanted = int(np.clip((3.0 * count) ** 0.5, 1, max(1, len(sample) // _OF_CENTRE)))
        centres = np.ascontiguousarray(sample[np.linspace(0, len(sample) - 1, wanted).astype(int)], np.float32)
        for _ in range(_ROUNDS):
            home = np.concatenate([(sample[at : at + BLOCK] @ centres.T).argmax(1) for at in range(0, len(sample), BLOCK)])
            order = np.argsort(home, kind="stable")
            filled, starts = np.unique(home[order], return_index=True)
            sums = np.add.reduceat(sample[order], starts, axis=0)
            lengths = np.linalg.norm(sums, axis=1, keepdims=True)
            good = lengths[:, 0] > 1e-6
            centres[filled[good]] = (sums / np.maximum(lengths, 1e-6))[good]
        delta = (2 - 2 * threshold) ** 0.5
        squared = np.maximum(0, (centres * centres).sum(1)[:, None] + (centres * centres).sum(1) - 2 * centres @ centres.T)
        return cls(centres, (REACH * delta * np.sqrt(squared)).astype(np.float32))

    def visited(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Homes (n,) of rows z (n, D), n up to BLOCK; and the cells that they visit besides: rows and cells (m,), VISITS at most
        for each."""
        near = z @ self.centres.T  # (n, c)
        home = near.argmax(1)
        rows = np.arange(len(z))
        best = near[rows, home]
        near += self.apart[home]
        near[rows, home] = -2  # no cosine
        seen, cells = np.divmod(np.flatnonzero(near >= best[:, None]), near.shape[1])
        crowded = np.flatnonzero(np.bincount(seen, minlength=len(z)) > VISITS)
        if len(crowded):
            left = ~np.isin(seen, crowded)
            nearest = np.argpartition(-near[crowded], VISITS, axis=1)[:, :VISITS]
            seen = np.concatenate([seen[left], np.repeat(crowded, VISITS)])
            cells = np.concatenate([cells[left], nearest.reshape(-1)])
        return home, seen, cells
