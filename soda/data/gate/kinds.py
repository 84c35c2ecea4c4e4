"""Kinds of pictures, found without labels: what an accepted version had, how common each was, and which pictures are of none.

A class that is missing, rare or from another source shows so in a folder that nobody labelled, too.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from soda.data.near_copies import structure

SIDE = 8
LEVELS = 1.0
"""Weight of levels and colours beside structure, in which a part deviates by 1."""
MOST, EACH = 32, 50
"""Kinds at the most; pictures of a kind on average, at the least."""
FEWEST = 4 * EACH
"""Fewer pictures of train are not sorted into kinds."""
TIMES, CHANCE = 2.5, 5.0
"""A kind's share that grew or shrank by this factor is a remark, where that is so many times what chance explains."""
INSIDE = 99.0
"""Per cent of held-out pictures of the accepted version that lie nearer to a kind than the distance called far."""
UNLIKE = 0.03
"""Share of pictures that are far from every kind, above which it is a remark; chance is added to it."""
_FITTED = 5000  # pictures that kinds are found from


def _looks(thumbs: np.ndarray, channels: int) -> np.ndarray:
    """What pictures are sorted by: their structure in grey, and, for less, levels and colours of 8 x 8 parts.

    Args:
        thumbs: (n, s * s * C) uint8.

    Returns:
        (n, s * s + t * t * C) float32, t being the smaller of s and SIDE.
    """
    grey = structure(thumbs.reshape(len(thumbs), -1, channels).mean(axis=2))
    side = math.isqrt(thumbs.shape[1] // channels)
    images = thumbs.reshape(-1, side, side, channels)
    edges = np.arange(min(side, SIDE)) * side // min(side, SIDE)
    sums = np.add.reduceat(np.add.reduceat(images, edges, axis=1, dtype=np.float32), edges, axis=2)
    widths = np.diff(np.append(edges, side))
    parts = (sums / np.outer(widths, widths)[None, :, :, None]).reshape(len(thumbs), -1)
    weight = LEVELS * math.sqrt(grey.shape[1] / parts.shape[1])
    return np.concatenate((grey, (parts - 128) / 128 * weight), axis=1).astype(np.float32)


def find_kinds(thumbs: np.ndarray, files: list[str], channels: int) -> dict[str, Any] | None:
    """The kinds of these pictures; None of fewer than FEWEST.

    Args:
        thumbs: (n, d) uint8 of train.
        files: what each picture is called: a kind is named by one of its pictures.

    Returns:
        centres (k, d), the number of pictures that each has, its picture, and the distance called far: of one half of the
        pictures from kinds found in the other.
    """
    if len(thumbs) < FEWEST:
        return None
    return find_kinds_of(_looks(thumbs, channels), files)


def find_kinds_of(points: np.ndarray, files: list[str]) -> dict[str, Any] | None:
    """The same of points (n, d) float32, whatever they are; None of fewer than FEWEST."""
    if len(points) < FEWEST:
        return None
    from sklearn.cluster import KMeans

    rows = np.unique(np.linspace(0, len(points) - 1, min(len(points), _FITTED)).astype(np.int64))
    some = points[rows][np.random.default_rng(0).permutation(len(rows))]
    count = min(MOST, len(some) // EACH)
    half = len(some) // 2
    found = [KMeans(count, n_init=1, random_state=0).fit(part).cluster_centers_ for part in (some[:half], some[half:])]
    held_out = np.concatenate([_nearest(some[half:], found[0])[1], _nearest(some[:half], found[1])[1]])
    centres = KMeans(count, n_init=1, random_state=0).fit(some).cluster_centers_
    which, apart = _nearest(points, centres)
    shown = [_shown(apart, which == kind, files) for kind in range(count)]
    return {
        "centres": centres.round(3).tolist(),
        "counts": np.bincount(which, minlength=count).tolist(),
        "files": shown,
        "far": float(np.percentile(held_out, INSIDE)),
    }


def _shown(apart: np.ndarray, members: np.ndarray, files: list[str]) -> str:
    return files[int(np.argmin(np.where(members, apart, np.inf)))] if members.any() else ""


def _nearest(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each point the number of the nearest centre, and the distance to it."""
    squared = np.square(points).sum(1)[:, None] + np.square(centres).sum(1)[None] - 2 * points @ centres.T
    which = squared.argmin(axis=1)
    return which, np.sqrt(np.maximum(squared[np.arange(len(points)), which], 0))


def apart_from_kinds(thumbs: np.ndarray, channels: int, before: dict[str, Any]) -> np.ndarray:
    """How far thumbnails (n, d) uint8 are from every kind that `find_kinds` gave, over the distance called far: (n,)."""
    return _nearest(_looks(thumbs, channels), np.asarray(before["centres"], np.float32))[1] / max(before["far"], 1e-6)


def kind_table(thumbs: np.ndarray, channels: int, before: dict[str, Any], rare: int) -> tuple[pd.DataFrame, np.ndarray]:
    """This version by the kinds of the accepted one.

    Args:
        thumbs: (n, d) uint8 of train.
        before: what `find_kinds` gave.
        rare: pictures that sway no share.

    Returns:
        One row a kind: what it was called by, its pictures now and then, the factor (>= 1) by which its share changed, 1
        where that may be chance; and how far each picture is from every kind, over the distance called far: (n,).
    """
    return kind_table_of(_looks(thumbs, channels), before, rare)


def kind_table_of(points: np.ndarray, before: dict[str, Any], rare: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The same of points (n, d) float32."""
    which, apart = _nearest(points, np.asarray(before["centres"], np.float32))
    now, then = np.bincount(which, minlength=len(before["counts"])), np.asarray(before["counts"])
    shares = (now + rare) / (now.sum() + rare), (then + rare) / (then.sum() + rare)
    both = (now + then) / (now.sum() + then.sum())
    chance = CHANCE * np.sqrt(both * (1 - both) * (1 / now.sum() + 1 / then.sum()))
    beyond = np.abs(now / now.sum() - then / then.sum()) > chance
    factor = np.where(beyond, np.maximum(shares[0] / shares[1], shares[1] / shares[0]), 1.0)
    table = pd.DataFrame({"kind": [f"pictures like {name}" for name in before["files"]], "pictures": now, "accepted": then})
    return table.assign(factor=factor), apart / max(before["far"], 1e-6)
