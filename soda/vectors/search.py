"""The nearest pictures of a table for some queries, read a row group at a time: exact, and in flat memory."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from soda.common.checks import whole_number
from soda.runtime.neighbours import best_of


def search(queries: np.ndarray, blocks: Iterable[tuple[list[str], np.ndarray]], k: int) -> list[list[tuple[str, float]]]:
    """The k nearest for each of queries (q, D), best first: (name, cosine). blocks: names and latents (n, D), all of length 1.

    Equal cosines come in the order of the table. Raises ValueError for k below 1.
    """
    whole_number("k", k, 1)
    files: list[list[str]] = [[] for _ in queries]
    cosines = np.empty((len(queries), 0), np.float32)
    for names, z in blocks:
        columns, scores = best_of(queries @ z.T, min(k, len(names)))
        # The earlier ones first: of equals these stay.
        merged = np.concatenate([cosines, scores], axis=1)
        kept, cosines = best_of(merged, min(k, merged.shape[1]))
        for row, positions in enumerate(kept):
            known = files[row] + [names[column] for column in columns[row]]
            files[row] = [known[position] for position in positions]
    return [
        [(file, float(np.clip(cosine, -1, 1))) for file, cosine in zip(*pair, strict=True)]
        for pair in zip(files, cosines, strict=True)
    ]
