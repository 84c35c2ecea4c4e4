"""What the last accepted version of a data set was like, and how far this one is from it.

A file beside the data holds, for each statistic of train, its mean, its spread from image to image and the error of the mean
(bootstrap), and how many pictures each label had. Nothing is compared with a version of other settings or another source, and a
first version with nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from soda.common.files import write_json
from soda.data.near_copies import SIDE

SAID, STOPPED = 0.25, 0.6
"""Distance of a mean from the accepted one, in spreads from image to image, that is a remark; that stops."""
ERRORS = 5.0
"""And it must be this many times what chance explains: the bootstrap's error of both means."""
MANY_TIMES = 4.0
"""A label's share of train that grew or shrank by this factor is a remark."""
RARE = 10
"""Fewer pictures of a label than this may go, and don't sway its share."""
_RESAMPLES = 200
_MOST = 20_000  # images that statistics are taken of, evenly spread
_FORMAT = 1


def statistics_of(thumbs: np.ndarray, channels: int) -> dict[str, np.ndarray]:
    """Per image: means and deviations of the channels, their differences, edges, the border over the inside, dark and bright.

    Args:
        thumbs: (n, s * s * channels) uint8.

    Returns:
        name -> (n,) float, in grey levels of [0, 1] or shares.
    """
    side = math.isqrt(thumbs.shape[1] // channels)
    images = thumbs.reshape(-1, side, side, channels).astype(np.float32) / 255
    grey = images.mean(axis=3)
    inside = grey[:, side // 4 : -(side // 4) or None, side // 4 : -(side // 4) or None].mean(axis=(1, 2))
    found = {
        "edges": (np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2)) + np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2))) / 2,
        "border over inside": np.concatenate((grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]), axis=1).mean(1) - inside,
        "dark": (grey < 0.25).mean(axis=(1, 2)),
        "bright": (grey > 0.75).mean(axis=(1, 2)),
    }
    for index, name in enumerate(("red", "green", "blue") if channels == 3 else ("grey",)):
        found[f"{name} mean"] = images[..., index].mean(axis=(1, 2))
        found[f"{name} deviation"] = images[..., index].std(axis=(1, 2))
    if channels == 3:
        found["red over blue"] = (images[..., 0] - images[..., 2]).mean(axis=(1, 2))
        found["green over both"] = (images[..., 1] - (images[..., 0] + images[..., 2]) / 2).mean(axis=(1, 2))
        found["colourfulness"] = (images.max(axis=3) - images.min(axis=3)).mean(axis=(1, 2))
    return found


def describe_version(pictures: pd.DataFrame, thumbs: np.ndarray, summary: dict[str, Any], version: str) -> dict[str, Any]:
    """What is kept of an accepted version. version: the SHA-256 of its manifest."""
    train = np.flatnonzero((pictures["split"] == "train").to_numpy())
    some = train[np.unique(np.linspace(0, len(train) - 1, min(len(train), _MOST)).astype(np.int64))] if len(train) else train
    rng = np.random.default_rng(0)
    count = max(1, len(some))
    resampled = rng.multinomial(count, np.full(count, 1 / count), _RESAMPLES) / count  # (200, n) weights
    statistics = {}
    for name, values in statistics_of(thumbs[some], summary["channels"]).items() if len(some) else ():
        error = float(np.std(resampled @ values.astype(np.float64)))
        statistics[name] = {"mean": float(values.mean()), "spread": float(values.std()), "error": error}
    labels = pictures.loc[pictures["split"] == "train", "label"].fillna("").value_counts()
    counts = {str(name): int(count) for name, count in sorted(labels.items()) if name}
    return {"version": version, "train": len(train), "statistics": statistics, "labels": counts}


def place_of(folder: Path, summary: dict[str, Any]) -> Path:
    """The file of a data set: of one source, prepared in one way."""
    settings = [summary.get(key) for key in ("dataset", "source", "image_size", "channels", "resize")]
    name = hashlib.sha256(json.dumps([*settings, SIDE]).encode()).hexdigest()[:12]
    return folder / f"{summary['dataset']}-{name}.json"


def last_accepted(path: Path, version: str) -> dict[str, Any] | None:
    """The version accepted before this one; None where there is none, or the file is not one that can be read."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        versions = kept["versions"] if kept["format"] == _FORMAT else []
        return next((each for each in versions if each["version"] != version), None)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def accept(path: Path, description: dict[str, Any]) -> None:
    """Keep this version beside the one before it: a second look at the same data is held to what the first was held to."""
    before = last_accepted(path, description["version"])
    write_json(path, {"format": _FORMAT, "versions": [description, *([before] if before else [])]})


def change_table(now: dict[str, Any], before: dict[str, Any]) -> pd.DataFrame:
    """One row a statistic: now and before, their distance in spreads, and the distances that are a remark and that stop."""
    rows = []
    for name, was in before["statistics"].items():
        found = now["statistics"].get(name)
        if found is None:
            continue
        spread = max(was["spread"], 1 / 255)
        chance = ERRORS * math.hypot(was["error"], found["error"]) / spread
        rows.append(
            {
                "statistic": name,
                "now": found["mean"],
                "accepted": was["mean"],
                "distance": abs(found["mean"] - was["mean"]) / spread,
                "said_from": max(SAID, chance),
                "stopped_from": max(STOPPED, chance),
            }
        )
    return pd.DataFrame(rows)


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
