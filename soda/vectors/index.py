"""Nearest neighbours within a set: exact while that is quick, else by an approximate index (usearch's HNSW)."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from soda.common.checks import one_of
from soda.common.errors import NotInstalledError
from soda.runtime.neighbours import duplicates, nearest, without_self
from soda.vectors.equals import Equals, lonely_first
from soda.vectors.join import near_groups

EXACT = 300_000
"""Latents up to which all pairs are compared: two minutes on two cores at 128 numbers, as long as the index then takes."""

_BLOCK = 1 << 16  # rows handed to the index at once

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
    """Rows of z (n, D), of length 1, linked by cosines of `threshold` or more: as `soda.runtime.duplicates`.

    The approximate method is `soda.vectors.join`, and wants no index.
    """
    one_of("method", method, METHODS)
    if method == "exact" or (method == "auto" and len(z) <= EXACT):
        return duplicates(z, threshold=threshold)
    return near_groups(lambda: (z[start : start + _BLOCK] for start in range(0, len(z), _BLOCK)), threshold)


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
    """The k nearest rows of each row, itself or an equal among them: indices and cosines, (n, k) each, best first."""
    equals = Equals.of(z)
    found, _ = _search(z, equals.first, min(k, len(equals.first)))
    indices, cosines = np.empty((len(z), k), np.int64), np.empty((len(z), k), np.float32)
    for start in range(0, len(z), _BLOCK):
        here = slice(start, start + _BLOCK)
        near = equals.members_of(found[equals.group[here]], k)
        exact = _cosines(z[here], z, near)
        order = np.argsort(-exact, axis=1, kind="stable")
        indices[here], cosines[here] = np.take_along_axis(near, order, 1), np.take_along_axis(exact, order, 1)
    return indices, cosines


def _search(z: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each of the distinct `rows` (m,) of z its k nearest among them: places in `rows` and cosines, (m, k) each, best first.

    Equals would be each other's only neighbours in the index, and cut off from it what lies behind them. It is built in one
    thread: the same z give the same answer.
    """
    try:
        from usearch.index import Index
    except ModuleNotFoundError:
        raise NotInstalledError("an approximate index needs usearch: pip install '.[search]'", name="usearch") from None
    index: Any = Index(ndim=z.shape[1], metric="ip", dtype="f32", connectivity=24, expansion_add=128, expansion_search=128)
    keys = lonely_first(z, rows)
    for start in range(0, len(rows), _BLOCK):
        added = keys[start : start + _BLOCK]
        index.add(added.astype(np.uint64), z[rows[added]], threads=1)
    places, cosines = np.empty((len(rows), k), np.int64), np.empty((len(rows), k), np.float32)
    for start in range(0, len(rows), _BLOCK):
        here = slice(start, start + _BLOCK)
        queries = z[rows[here]]
        found = index.search(queries, k)
        near = np.asarray(found.keys).reshape(len(queries), k).astype(np.int64)
        missing = np.arange(k) >= np.asarray(found.counts).reshape(-1, 1)  # fewer were reached: the row itself stands there
        near = np.where(missing, np.arange(start, start + len(queries))[:, None], near)
        exact = np.where(missing, np.float32(-1), _cosines(queries, z, rows[near]))
        order = np.argsort(-exact, axis=1, kind="stable")
        places[here], cosines[here] = np.take_along_axis(near, order, 1), np.take_along_axis(exact, order, 1)
    return places, cosines


def _cosines(queries: np.ndarray, z: np.ndarray, indices: np.ndarray, rows: int = 4096) -> np.ndarray:
    """Of each query (n, D) with the rows of z at `indices` (n, k), exact: what the index reports is rounded its own way."""
    out = np.empty(indices.shape, np.float32)
    for start in range(0, len(queries), rows):
        here = slice(start, start + rows)
        out[here] = np.einsum("nd,nkd->nk", queries[here], z[indices[here]])
    return out
