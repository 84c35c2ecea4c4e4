"""What the gate finds by comparing pictures with each other: near copies in another split or under another label, labels that the
neighbours gainsay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from soda.data.columns import SPLITS
from soda.data.gate.gather import gather
from soda.data.near_copies import Neighbourhood, distances

MOST = 200_000
"""More pictures than this are not compared: their thumbnails would fill the memory."""
RADIUS = 0.12
"""Distance at 16 px (`near_copies.distances`) up to which pictures are compared pixel by pixel."""
SAME = 0.08
"""Distance of all pixels up to which one counts as a copy of the other: JPEG at quality 75 of Fashion-MNIST moves 95 % of the
pictures by less, while 34 of its 16,000 held-out pictures have one of train as close."""
CHANGED, LEVELS = 0.015, 8
"""Or this share of the places, at most, differs by more than so many grey levels: a pixel changed, a date stamped."""
NEIGHBOURS, AGREED = 10, 8
_PER_SPLIT = 20_000  # pictures of train whose neighbours are asked
_NUMBERS = 1 << 24  # of one side of the pairs that are compared at once


def near_copies(pictures: pd.DataFrame, thumbs: np.ndarray, near: Neighbourhood, shards: list[Path]) -> np.ndarray:
    """For each picture with a near copy in another split: the file and split of that; else None. Exact copies are not meant.

    Args:
        pictures: one row a picture, with split, file, shard, row and the hash of its pixels.
        thumbs: (N, d) uint8, a row a picture.
        shards: the files of the shards.
    """
    found = np.full(len(pictures), None, dtype=object)
    splits, files, content = (pictures[name].to_numpy(dtype=object) for name in ("split", "file", "pixels_sha256"))
    where = {name: np.flatnonzero(splits == name) for name in SPLITS}
    best = np.full(len(pictures), np.inf)
    for one, other in (("val", "train"), ("test", "train"), ("test", "val")):
        pairs, _ = near.pairs(where[one], where[other], RADIUS)
        pairs = pairs[content[pairs[:, 0]] != content[pairs[:, 1]]]
        apart = _apart(pictures, pairs, shards)
        for (first, second), distance in zip(pairs.tolist(), apart.tolist(), strict=True):
            for row, copy in ((first, second), (second, first)):
                if distance < best[row]:
                    best[row], found[row] = distance, f"{files[copy]} ({splits[copy]})"
    return found


def _apart(pictures: pd.DataFrame, pairs: np.ndarray, shards: list[Path]) -> np.ndarray:
    """The distance of each pair by all its pixels, infinite where they are no copies: (m,)."""
    step = 1 if not len(pairs) else max(1, _NUMBERS // gather(pictures, pairs[0, :1], shards).size)
    blocks = [_apart_in_memory(pictures, pairs[start : start + step], shards) for start in range(0, len(pairs), step)]
    return np.concatenate(blocks) if blocks else np.empty(0)


def _apart_in_memory(pictures: pd.DataFrame, pairs: np.ndarray, shards: list[Path]) -> np.ndarray:
    rows, place = np.unique(pairs, return_inverse=True)
    first, second = gather(pictures, rows, shards)[place.reshape(pairs.shape)].swapaxes(0, 1)  # each (m, S, S, C)
    differ = (np.abs(first.astype(np.int16) - second) > LEVELS).any(axis=3).mean(axis=(1, 2))
    apart = distances(first.reshape(len(pairs), -1), second.reshape(len(pairs), -1))
    return np.where((apart <= SAME) | (differ <= CHANGED), apart, np.inf)


def called_otherwise(pictures: pd.DataFrame, near: Neighbourhood, shards: list[Path]) -> tuple[np.ndarray, int]:
    """For each picture of train that is there under another label, too, as it is or as a near copy: the file and label of that.

    Returns:
        (N,) str or None, and how many of them are not the same pixel by pixel.
    """
    found = np.full(len(pictures), None, dtype=object)
    labels, files, content = (pictures[name].to_numpy(dtype=object) for name in ("label", "file", "pixels_sha256"))
    train = np.flatnonzero((pictures["split"] == "train").to_numpy() & pictures["label"].fillna("").ne("").to_numpy())
    firsts: dict[str, int] = {}
    exact = []
    for row in train.tolist():
        first = firsts.setdefault(content[row], row)
        if labels[first] != labels[row]:
            exact += [(row, first), (first, row)]
    pairs, _ = near.pairs(train, train, RADIUS)
    pairs = pairs[(labels[pairs[:, 0]] != labels[pairs[:, 1]]) & (content[pairs[:, 0]] != content[pairs[:, 1]])]
    pairs = pairs[np.isfinite(_apart(pictures, pairs, shards))]
    for row, copy in [*pairs.tolist(), *exact]:
        found[row] = f"{labels[row]}, but {files[copy]} is {labels[copy]}"
    return found, len(set(pairs[:, 0].tolist()) - {row for row, _ in exact})


def gainsaid_labels(pictures: pd.DataFrame, near: Neighbourhood) -> tuple[np.ndarray, np.ndarray, int]:
    """For each picture of train whose label the pictures most alike gainsay: what they are called; else None.

    A picture is judged when AGREED of its NEIGHBOURS nearest in train have one label. That share of wrong labels which is spread
    evenly shows as the same share of the judged.

    Returns:
        (N,) str or None; which were judged, (N,) bool; and how many were asked.
    """
    found, judged = np.full(len(pictures), None, dtype=object), np.zeros(len(pictures), bool)
    labels = pictures["label"].fillna("").to_numpy(dtype=object)
    train = np.flatnonzero((pictures["split"] == "train").to_numpy() & (labels != ""))
    if len(train) <= NEIGHBOURS:
        return found, judged, len(train)
    asked = train[np.unique(np.linspace(0, len(train) - 1, min(len(train), _PER_SPLIT)).astype(np.int64))]
    found[asked], judged[asked] = gainsaid_by(labels, asked, near.nearest(asked, train, NEIGHBOURS), rows=True)
    return found, judged, len(asked)


def gainsaid_by(
    labels: np.ndarray, asked: np.ndarray, nearest: np.ndarray, *, rows: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """What the neighbours of each asked picture say of its label.

    Args:
        labels: (N,) of all pictures, "" where there is none.
        asked: (n,) rows of pictures that have one.
        nearest: (n, NEIGHBOURS) neighbours of each: places in `asked`, or, where `rows` says so, rows.

    Returns:
        (n,) what the neighbours are called where they gainsay the label, else None; and (n,) bool, who was judged.
    """
    found, judged = np.full(len(asked), None, dtype=object), np.zeros(len(asked), bool)
    names, code = np.unique(labels.astype(str), return_inverse=True)
    for place, (row, others) in enumerate(zip(asked.tolist(), code[nearest if rows else asked[nearest]], strict=True)):
        votes = np.bincount(others, minlength=len(names))
        say = int(votes.argmax())
        if votes[say] >= AGREED:
            judged[place] = True
            if say != code[row]:
                found[place] = f"{labels[row]}, where {votes[say]} of the {NEIGHBOURS} most alike are {names[say]}"
    return found, judged
