"""Nearest neighbours within a set: exact while that is quick, else by an approximate index (usearch's HNSW)."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from soda.common.checks import cosine, one_of
from soda.common.errors import NotInstalledError
from soda.runtime.neighbours import Groups, duplicates, nearest, without_self

EXACT = 300_000
"""Latents up to which all pairs are compared: two minutes on two cores at 128 numbers, as long as the index then takes."""

NEIGHBOURS = 32
"""Of each picture, that an approximate search for duplicates looks at."""

METHODS = ("auto", "exact", "approximate")

_log = logging.getLogger(__name__)


def neighbours_within(z: np.ndarray, k: int, method: str = "auto") -> tuple[np.ndarray, np.ndarray]:
    """The min(k, n - 1) nearest other rows for each row of z (n, D), of length 1: indices (n, k) and cosines (n, k), best first.

    method: "exact", "approximate", or "auto" for the first up to EXACT rows. Raises ValueError for another one,
    ModuleNotFoundError with the line that installs it where the index is missing.
    """
    k = min(k, len(z) - 1)
    if not is_approximate(len(z), method):
        return without_self(*nearest(z, z, k + 1))
    return without_self(*_approximate(z, k + 1))


def duplicate_groups(z: np.ndarray, threshold: float, method: str = "auto") -> list[list[int]]:
    """Rows of z (n, D), of length 1, linked by cosines of `threshold` or more: as `soda.runtime.duplicates`."""
    if not is_approximate(len(z), method):
        return duplicates(z, threshold=threshold)
    cosine("threshold", threshold)
    indices, cosines = _approximate(z, min(NEIGHBOURS, len(z)))
    groups = Groups(len(z))
    rows, columns = np.nonzero(cosines >= threshold)
    groups.join(rows, indices[rows, columns])
    return groups.several()


def is_approximate(count: int, method: str) -> bool:
    """Whether `count` rows are searched by the index. Raises ValueError for a method that does not exist."""
    one_of("method", method, METHODS)
    if method == "auto" and count > EXACT:
        try:
            import usearch.index  # noqa: F401
        except ModuleNotFoundError:
            _log.warning("comparing all pairs of %d pictures takes long; pip install '.[search]' for an index", count)
            return False
    return method == "approximate" or (method == "auto" and count > EXACT)


def _approximate(z: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of each row, itself among them. The index is built in one thread: the same z give the same answer."""
    try:
        from usearch.index import Index
    except ModuleNotFoundError:
        raise NotInstalledError("an approximate index needs usearch: pip install '.[search]'", name="usearch") from None
    index: Any = Index(ndim=z.shape[1], metric="ip", dtype="f32", connectivity=24, expansion_add=128, expansion_search=128)
    keys = np.arange(len(z), dtype=np.uint64)
    index.add(keys, z, threads=1)
    found = index.search(z, k)
    indices = np.asarray(found.keys).reshape(len(z), k).astype(np.int64)
    cosines = _cosines(z, indices)
    order = np.argsort(-cosines, axis=1, kind="stable")
    return np.take_along_axis(indices, order, 1), np.take_along_axis(cosines, order, 1)


def _cosines(z: np.ndarray, indices: np.ndarray, rows: int = 4096) -> np.ndarray:
    """Of each row with those at `indices` (n, k), exact: what the index reports is rounded its own way."""
    out = np.empty(indices.shape, np.float32)
    for start in range(0, len(z), rows):
        here = slice(start, start + rows)
        out[here] = np.einsum("nd,nkd->nk", z[here], z[indices[here]])
    return out
