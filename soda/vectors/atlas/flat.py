"""Vectors on a plane, alike ones side by side: t-SNE (van der Maaten & Hinton 2008) by openTSNE, or principal components."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from soda.common.checks import one_of
from soda.common.cores import usable_cores
from soda.common.errors import NotInstalledError
from soda.runtime.neighbours import nearest

METHODS = ("auto", "tsne", "pca")

SAMPLE = 30_000
"""Of more vectors, this many drawn at random are laid out; each other one goes where its nearest of these lie."""

LEAST = 12
"""Of fewer, t-SNE tells nothing."""

_KEPT = 50  # principal components that t-SNE sees
_NEAREST = 3
_ALONE = 3000  # points up to which threads wait for one another longer than they work
_INSTALL = "pip install '.[map]'"

_log = logging.getLogger(__name__)


def flat(z: np.ndarray, method: str = "auto", seed: int = 0) -> np.ndarray:
    """Places (n, 2) float32 of z (n, D), about within -1 .. 1 both ways.

    method: "tsne", "pca", or "auto": the first where openTSNE is installed. Raises ValueError for another one,
    ModuleNotFoundError with the line that installs openTSNE for "tsne" without it.
    """
    one_of("method", method, METHODS)
    points = components(z, min(_KEPT, z.shape[1]))
    if method == "pca" or len(z) < LEAST or (method == "auto" and not _has_tsne()):
        return _scaled(_two(points))
    rows = np.arange(len(z))
    if len(z) > SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(len(z), SAMPLE, replace=False))
    places = _tsne(points[rows], seed)
    return _scaled(places if len(rows) == len(z) else _beside(z, rows, places, seed))


def components(z: np.ndarray, count: int) -> np.ndarray:
    """The first `count` principal components of z (n, D): (n, count) float32."""
    centred = z - z.mean(0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :count]
    signs = np.where(axes[np.abs(axes).argmax(0), np.arange(count)] < 0, -1, 1)  # else a matter of the library
    return (centred @ (axes * signs)).astype(np.float32)


def _tsne(points: np.ndarray, seed: int) -> np.ndarray:
    try:
        from openTSNE import TSNE
    except ModuleNotFoundError:
        raise NotInstalledError(f"t-SNE needs openTSNE: {_INSTALL} (or --layout pca)", name="openTSNE") from None
    logging.getLogger("openTSNE").setLevel(logging.WARNING)
    start = _two(points)
    jobs = usable_cores() if len(points) > _ALONE else 1
    settings: dict[str, Any] = {"perplexity": min(30.0, (len(points) - 1) / 3), "n_jobs": jobs, "random_state": seed}
    return np.asarray(TSNE(initialization=start / max(1e-12, float(start[:, 0].std())) * 1e-4, **settings).fit(points))


def _beside(z: np.ndarray, rows: np.ndarray, places: np.ndarray, seed: int) -> np.ndarray:
    """Those that were not laid out, among their nearest that were: the mean of these, weighted, and a little moved."""
    others = np.setdiff1d(np.arange(len(z)), rows)
    found, cosines = nearest(z[others], z[rows], _NEAREST)
    weights = np.exp((cosines - cosines[:, :1]) / 0.02)
    means = (places[found] * (weights / weights.sum(1, keepdims=True))[:, :, None]).sum(1)
    area = float(np.prod(np.percentile(places, 98, axis=0) - np.percentile(places, 2, axis=0)))
    moved = np.random.default_rng(seed).normal(scale=0.5 * (area / len(z)) ** 0.5, size=means.shape)
    result = np.empty((len(z), 2), np.float64)
    result[rows], result[others] = places, means + moved
    return result


def _two(points: np.ndarray) -> np.ndarray:
    return np.pad(points[:, :2], ((0, 0), (0, max(0, 2 - points.shape[1]))))


def _scaled(places: np.ndarray) -> np.ndarray:
    centred = places - np.median(places, axis=0)
    reach = float(np.percentile(np.abs(centred), 99.5)) if len(centred) > 1 else 0.0
    return (centred / (reach or 1.0)).astype(np.float32)


def _has_tsne() -> bool:
    try:
        import openTSNE  # noqa: F401
    except ModuleNotFoundError:
        _log.warning("laid out by principal components; %s for t-SNE, which keeps alike ones together", _INSTALL)
        return False
    return True
