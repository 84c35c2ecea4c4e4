"""Near copies: pictures that show the same although no byte is the same: saved again as JPEG, resized, a pixel changed.

Two pictures are compared at 16 px, as structure: grey levels less their mean, over their deviation. Candidates come from a k-d
tree on the first principal components of that. Projecting only shortens distances, so no close pair is missed for being
projected; only where more than LINKS pictures are closer still is a pair left to their chain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

SIDE = 16
"""Pixels a side at which pictures are compared; smaller ones as they are."""
LINKS = 64
"""Candidates looked at for each picture; of more that are closer still the rest is reached by their chain."""
NEIGHBOURS = 16
LEAST, MOST = 0.05, 0.3
"""Bounds of the distance at which pictures are held together. JPEG at quality 75 moves a clip art by 0.1 (median), 0.3 (95 %);
a small photograph in grey by 0.02, 0.04."""
OF_TYPICAL = 0.33
"""That distance over the typical one to the 16th neighbour: among pictures that are all alike less counts as a copy."""
SHARE = 0.1
"""Of all pictures that one group may hold before the distance is halved: frames of one film would else be one picture."""
_FLAT = 2.0  # grey levels; the deviation of a flatter picture counts as this
_DIMENSIONS = 12
_SAMPLE = 4000  # pictures that the principal components are found from
_PROBES = 500  # pictures whose 16th neighbour is looked for
_BLOCK = 1 << 24  # numbers at once
_CANDIDATE = 4  # for each of which so many are held: thumbnails twice, structures twice


def thumbnails(pixels: np.ndarray) -> np.ndarray:
    """Means of blocks: (n, S, S, C) uint8 -> (n, s * s * C) uint8, s the smaller of S and SIDE."""
    count, size, _, channels = pixels.shape
    side = min(size, SIDE)
    edges = np.arange(side) * size // side
    widths = np.diff(np.append(edges, size))
    sums = np.add.reduceat(np.add.reduceat(pixels, edges, axis=1, dtype=np.uint32), edges, axis=2, dtype=np.uint32)
    areas = np.outer(widths, widths)[None, :, :, None]
    return ((sums + areas // 2) // areas).astype(np.uint8).reshape(count, side * side * channels)


def structure(values: np.ndarray) -> np.ndarray:
    """Each row less its mean, over its deviation: (n, d) of any number type -> (n, d) float32."""
    rows = values.astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(rows.std(axis=1, keepdims=True), _FLAT)


def distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Root mean squared difference of the structure of rows: (n, d) uint8, twice -> (n,) float; 0 the same, 2 the negative."""
    result = np.empty(len(first))
    for here in _blocks(len(first), first.shape[1]):
        result[here] = np.sqrt(np.square(structure(first[here]) - structure(second[here])).mean(axis=1))
    return result


class Neighbourhood:
    """Thumbnails to find close pairs among. thumbs: (N, d) uint8, in memory or mapped."""

    def __init__(self, thumbs: np.ndarray) -> None:
        self.thumbs = thumbs
        sample = structure(thumbs[_spread(len(thumbs), _SAMPLE)])
        axes = np.linalg.eigh(np.cov(sample.T) if len(sample) > 1 else np.eye(thumbs.shape[1]))[1]
        self._axes = np.ascontiguousarray(axes[:, ::-1][:, :_DIMENSIONS], dtype=np.float32)
        self._points = np.concatenate([structure(thumbs[here]) @ self._axes for here in _blocks(*thumbs.shape)])  # (N, 12)

    def typical(self) -> float:
        """The median distance to the 16th neighbour (or the furthest, of fewer pictures)."""
        probes = structure(self.thumbs[_spread(len(self.thumbs), _PROBES)])
        nearest = np.empty((len(probes), 0))
        for here in _blocks(len(self.thumbs), max(self.thumbs.shape[1], len(probes))):
            block = structure(self.thumbs[here])
            squared = np.square(probes).sum(1)[:, None] + np.square(block).sum(1)[None] - 2 * probes @ block.T
            nearest = np.sort(np.concatenate((nearest, squared), axis=1), axis=1)[:, : NEIGHBOURS + 1]
        return float(np.median(np.sqrt(np.maximum(nearest[:, -1], 0) / self.thumbs.shape[1])))

    def pairs(self, queries: np.ndarray, targets: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (query, target) that are at most `radius` apart: (m, 2) int64, rows of `thumbs`, and their distances (m,)."""
        from scipy.spatial import cKDTree

        if not len(queries) or not len(targets):
            return np.empty((0, 2), np.int64), np.empty(0)
        tree = cKDTree(self._points[targets])
        reach = radius * self.thumbs.shape[1] ** 0.5
        many = min(LINKS, len(targets))
        pairs, close = [], []
        for here in _blocks(len(queries), many * self.thumbs.shape[1] * _CANDIDATE):
            far, which = tree.query(self._points[queries[here]], k=range(1, many + 1), distance_upper_bound=reach)
            rows, columns = np.nonzero(np.isfinite(far))
            found = np.stack((queries[here][rows], targets[which[rows, columns]]), axis=1)
            found = found[found[:, 0] != found[:, 1]]
            apart = distances(self.thumbs[found[:, 0]], self.thumbs[found[:, 1]])
            pairs.append(found[apart <= radius])
            close.append(apart[apart <= radius])
        return np.concatenate(pairs), np.concatenate(close)

    def nearest(self, queries: np.ndarray, targets: np.ndarray, count: int) -> np.ndarray:
        """The `count` targets next to each query by the principal components, itself left out: (n, count) rows of `thumbs`."""
        from scipy.spatial import cKDTree

        which = targets[cKDTree(self._points[targets]).query(self._points[queries], k=count + 1)[1]]  # (n, count + 1)
        others = which != queries[:, None]
        others[others.all(axis=1), -1] = False  # it is not among its own nearest: copies are
        return which[others].reshape(len(queries), count)


def near_groups(thumbs: np.ndarray, contents: Sequence[str] | np.ndarray) -> np.ndarray:
    """Which pictures are copies or near copies of each other, directly or by a chain: a number for each group, (N,) int64.

    contents: the hash of each picture's pixels, as str or bytes; equal ones are one group whatever the distance allowed.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(contents):
        return np.empty(0, np.int64)
    _, first, member = np.unique(np.asarray(contents), return_index=True, return_inverse=True)
    near = Neighbourhood(thumbs)
    radius = float(np.clip(round(OF_TYPICAL * near.typical(), 3), LEAST, MOST))
    linked, apart = near.pairs(first, first, radius)
    places = np.searchsorted(np.sort(first), linked)
    order = np.argsort(first)
    links = order[places]  # (m, 2) numbers of contents
    while True:
        kept = links[apart <= radius]
        graph = coo_array((np.ones(len(kept), bool), (kept[:, 0], kept[:, 1])), shape=(len(first), len(first)))
        groups = connected_components(graph, directed=False)[1].astype(np.int64)
        if not len(kept) or np.bincount(groups).max() <= max(2, SHARE * len(first)):
            return groups[member]
        radius /= 2


def _spread(count: int, most: int) -> np.ndarray:
    """At most `most` positions of `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _blocks(count: int, width: int) -> Iterator[slice]:
    step = max(1, _BLOCK // width)
    return (slice(start, start + step) for start in range(0, max(1, count), step))
