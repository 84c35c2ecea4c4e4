"""Splits drawn by what a picture shows, not by what it is called: copies and near copies go to one split.

A group's place in [0, 1) is the hash of the least content hash in it, so that it stays when other pictures come or go; only a
group that grows into a crowd moves, to train. What
folders called train, val and test say is kept; only what they leave open is drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from soda.config import DatasetConfig

LEAST = {"test": 2, "val": 2}
"""Pictures that a drawn split has at least, as far as there are any: of few pictures a tenth may be none."""
CROWD, ENOUGH = 0.1, 0.5
"""Of the pictures that a split is to hold: a group of more than CROWD stays in train, since figures would be of it alone; where
the split is left with less than ENOUGH, crowds are taken, too."""


def place_of(seed: int, group: str) -> float:
    """The place of a group in [0, 1), from its name alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{group}".encode()).digest()[:8], "big") / 2.0**64


def split_by_content(
    config: DatasetConfig,
    contents: Sequence[str] | np.ndarray,
    groups: np.ndarray,
    official: Sequence[str] | np.ndarray,
    labels: Sequence[str] | np.ndarray,
) -> np.ndarray:
    """The split of every picture.

    Args:
        contents: hash of each picture's pixels: in hex, or as bytes (N,) "S32".
        groups: (N,) number of the group of copies that each is in.
        official: "test", "val" or "train" where a folder says so, "" elsewhere. A kind that no folder is called is drawn from
            train and from what lies beside.
        labels: of which each has a picture in train, where one is to be drawn; "" for none. Numbers will do.

    Returns:
        (N,) str.
    """
    said = np.asarray(official, dtype="U5")
    splits = np.where((said == "test") | (said == "val"), said, "train").astype("U5")
    open_rows = np.flatnonzero(splits == "train")
    places = _places(config.seed, np.asarray(contents), groups)
    order = open_rows[np.argsort(places[open_rows], kind="stable")]
    kept = _kept_in_train(order, groups, np.asarray(labels))
    shares = {"test": config.test_fraction, "val": config.val_fraction}
    start = 0.0
    for name, share in shares.items():
        if name in said:
            continue
        stop, wanted = start + share, share * len(order)
        for most in (int(CROWD * wanted), len(order) // 2):
            chosen = _chosen(stop, LEAST[name], max(LEAST[name], most), order[splits[order] == "train"], places, groups, kept)
            if len(chosen) >= ENOUGH * wanted:
                break
        splits[chosen] = name
        start = stop
    return splits


def _places(seed: int, contents: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The place of each picture's group: (N,) float64."""
    order = np.lexsort((contents, groups))
    first = order[np.flatnonzero(np.diff(groups[order], prepend=-1))]  # the least content of each group
    places = np.fromiter((place_of(seed, _text(contents[row])) for row in first), float, len(first))
    return places[np.searchsorted(groups[first], groups)]


def _text(content: str | bytes) -> str:
    return content if isinstance(content, str) else content.ljust(32, b"\0").hex()  # NumPy drops the zeros at the end


def _kept_in_train(order: np.ndarray, groups: np.ndarray, labels: np.ndarray) -> set[int]:
    """For each label the group with the last place, the last of all among them: what train is not left without."""
    last = order[::-1]
    return set(groups[last[np.unique(labels[last], return_index=True)[1]]].tolist())


def _chosen(
    stop: float, least: int, most: int, order: np.ndarray, places: np.ndarray, groups: np.ndarray, kept: set[int]
) -> list[int]:
    """Rows of `order` whose groups, of at most `most` pictures, lie below `stop`, and further ones while there are too few."""
    sizes = np.bincount(groups[order])
    chosen: list[int] = []
    current, taken = -1, False
    for row in order:
        group = int(groups[row])
        if group != current:
            current = group
            taken = group not in kept and sizes[group] <= most and (places[row] < stop or len(chosen) < least)
        if taken:
            chosen.append(row)
    return chosen
