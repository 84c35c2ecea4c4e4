"""What the last accepted version of a data set was like, and how far this one is from it.

A file beside the data holds, for each trait of train and of each label, its mean, its spread from image to image and the error of
the mean (bootstrap), how many pictures each label had, and the kinds of pictures that there were. Nothing is compared with a
version of other settings or another source, and a first version with nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from soda.data.gate.kinds import find_kinds
from soda.data.gate.traits import PLACE, traits_of

SAID, STOPPED = 0.25, 0.6
"""Distance of a mean from the accepted one, in spreads from image to image, that is a remark; that stops."""
ERRORS = 5.0
"""And it must be this many times what chance explains: the bootstrap's error of both means."""
MANY_TIMES = 4.0
"""A label's share of train that grew or shrank by this factor is a remark."""
RARE = 10
"""Fewer pictures of a label than this may go, and don't sway its share."""
SAID_OF_LABEL = 0.5
"""The same for pictures of one label, and for the grey at one place: fewer pictures say it, and there are many of them."""
LEAST_SPREAD, PLACE_SPREAD = 1 / 255, 0.1
"""A smaller spread counts as this. A corner that is black in all pictures is not far from one that is not in a few."""
MANY_SPREADS = 1e9  # what only says something stops from here on: never
COLUMNS = ["statistic", "now", "accepted", "distance", "said_from", "stopped_from"]
_RESAMPLES = 200
_MOST, _LEAST, _NUMBERS = 20_000, 1_000, 1 << 28  # images that traits are taken of, evenly spread; numbers in them
_MOST_LABELS = 100  # of which traits are kept
_AT_ONCE = 1_000  # images in memory


def describe_version(
    pictures: pd.DataFrame,
    thumbs: np.ndarray,
    summary: dict[str, Any],
    version: str,
    images_of: Callable[[np.ndarray], np.ndarray],
) -> dict[str, Any]:
    """What is kept of an accepted version: traits of train and of each of its labels, how often each label occurs, the kinds of
    pictures.

    Args:
        pictures: one row a picture: split, label, file.
        thumbs: (N, d) uint8, a row a picture.
        version: the SHA-256 of its manifest.
        images_of: images (n, S, S, C) uint8 of given rows.
    """
    train = np.flatnonzero((pictures["split"] == "train").to_numpy())
    most = min(_MOST, max(_LEAST, _NUMBERS // (summary["image_size"] ** 2 * summary["channels"])))
    some = train[np.unique(np.linspace(0, len(train) - 1, min(len(train), most)).astype(np.int64))] if len(train) else train
    blocks = [traits_of(images_of(some[start : start + _AT_ONCE])) for start in range(0, len(some), _AT_ONCE)]
    traits = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]} if blocks else {}
    labels = pictures["label"].fillna("").to_numpy(dtype=object)
    names, counts = np.unique(labels[train][labels[train] != ""].astype(str), return_counts=True)
    common = sorted(zip(counts.tolist(), names.tolist(), strict=True), reverse=True)[:_MOST_LABELS]
    members = {name: np.flatnonzero(labels[some] == name) for _, name in sorted(common, key=lambda each: each[1])}
    files = pictures["file"].to_numpy(dtype=object)[train].tolist() if "file" in pictures else [""] * len(train)
    return {
        "version": version,
        "train": len(train),
        "statistics": described(traits),
        "labels": {str(name): int(count) for name, count in zip(names, counts, strict=True)},
        "of_labels": {
            name: described({trait: values[rows] for trait, values in traits.items()})
            for name, rows in members.items()
            if len(rows) >= RARE
        },
        "kinds": find_kinds(thumbs[train], files, summary["channels"]),
    }


def described(traits: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """name -> mean, spread from image to image, and error of the mean: by the bootstrap."""
    if not traits:
        return {}
    values = np.stack(list(traits.values()), axis=1).astype(np.float64)  # (n, traits)
    count = len(values)
    weights = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), _RESAMPLES) / count
    numbers = np.stack([values.mean(axis=0), values.std(axis=0), (weights @ values).std(axis=0)], axis=1)
    return {name: [float(f"{number:.6g}") for number in row] for name, row in zip(traits, numbers, strict=True)}


def change_table(now: dict[str, Any], before: dict[str, Any]) -> pd.DataFrame:
    """One row a trait: now and before, their distance in spreads, and the distances that are a remark and that stop."""
    return pd.DataFrame(changes(now["statistics"], before["statistics"], SAID, STOPPED), columns=COLUMNS)


def trait_change_table(now: dict[str, Any], before: dict[str, Any]) -> pd.DataFrame:
    """One row a label that both versions have: of its traits the one that is farthest from then, by what it may be."""
    rows = []
    for label, traits in before["of_labels"].items():
        found = changes(now["of_labels"].get(label, {}), traits, SAID_OF_LABEL, math.inf)
        if found:
            farthest = max(found, key=lambda row: row["distance"] / row["said_from"])
            rows.append({"label": f"{label}, {farthest['statistic']}", **farthest})
    return pd.DataFrame(rows, columns=["label", *COLUMNS])


def changes(now: dict[str, Any], before: dict[str, Any], said: float, stopped: float) -> list[dict[str, Any]]:
    """A row a trait of both: how far the mean is from then, in spreads, and from where on it is said and stops (inf: never)."""
    rows = []
    for name, (was, spread, error) in before.items():
        if name not in now:
            continue
        mean, _, own_error = now[name]
        place = name.startswith(PLACE)
        spread = max(spread, PLACE_SPREAD if place else LEAST_SPREAD)
        chance = ERRORS * math.hypot(error, own_error) / spread
        rows.append(
            {
                "statistic": name,
                "now": mean,
                "accepted": was,
                "distance": abs(mean - was) / spread,
                "said_from": max(max(said, SAID_OF_LABEL) if place else said, chance),
                "stopped_from": MANY_SPREADS if place or math.isinf(stopped) else max(stopped, chance),
            }
        )
    return rows


def label_change_table(now: dict[str, Any], before: dict[str, Any]) -> pd.DataFrame:
    """One row a label of the accepted version: its pictures in train now and then, how
    many of them are gone where all are, and how its share changed (a factor >= 1)."""
    rows = []
    for name, was in before["labels"].items():
        found = now["labels"].get(name, 0)
        share, then = (found + RARE) / (now["train"] + RARE), (was + RARE) / (before["train"] + RARE)
        gone = was if not found and was >= RARE else 0
        rows.append({"label": name, "pictures": found, "accepted": was, "gone": gone, "factor": max(share / then, then / share)})
    return pd.DataFrame(rows, columns=["label", "pictures", "accepted", "gone", "factor"])
