"""The small tables that the gate judges beside the pictures: splits, labels, and statistics against the recorded reference."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from soda.config import GateConfig
from soda.data.columns import FACTOR, SPLITS
from soda.data.columns import OBJECT as OBJECT_FACTOR
from soda.data.gate.verdict import GateError

OBJECT = FACTOR + OBJECT_FACTOR


def split_table(config: GateConfig, pictures: pd.DataFrame, summary: dict[str, Any]) -> pd.DataFrame:
    """One row a split: how many pictures it has, must have, and had when it was prepared."""
    counts = pictures["split"].value_counts()
    return pd.DataFrame(
        {
            "split": SPLITS,
            "pictures": [int(counts.get(name, 0)) for name in SPLITS],
            "minimum": [config.min_train, config.min_val, config.min_test],
            "prepared": [int(summary["splits"].get(name, 0)) for name in SPLITS],
        }
    )


def is_labelled(config: GateConfig, pictures: pd.DataFrame, summary: dict[str, Any]) -> bool:
    """Whether there are labels, or the settings ask for some."""
    return bool(summary["labels"] or config.labels or config.classes or pictures["label"].fillna("").ne("").any())


def label_table(config: GateConfig, pictures: pd.DataFrame, summary: dict[str, Any]) -> pd.DataFrame:
    """One row a label that is found, prepared or asked for. `times_rarer`: the commonest label's count in train over its own."""
    labelled = pictures[pictures["label"].fillna("").ne("")]
    names = sorted(set(labelled["label"]) | set(summary["labels"]) | set(config.labels or ()))
    counts = labelled.groupby(["label", "split"]).size()
    table = pd.DataFrame({"label": names})
    for split in SPLITS:
        table[split] = [int(counts.get((name, split), 0)) for name in names]
    total = labelled["label"].value_counts()
    table["pictures"] = [int(total.get(name, 0)) for name in names]
    most = int(table["train"].max()) if names else 0
    table["times_rarer"] = [most / count if count else math.nan for count in table["train"]]
    return table


def factor_table(config: GateConfig, pictures: pd.DataFrame) -> pd.DataFrame:
    """One row a factor of gate.factors: how many values it has in train, and how many pictures of any split have none."""
    rows = []
    for name in config.factors:
        values = pictures[FACTOR + name].fillna("") if FACTOR + name in pictures else pd.Series("", index=pictures.index)
        trained = values[(pictures["split"] == "train") & values.ne("")]
        rows.append({"factor": name, "values": int(trained.nunique()), "without": int(values.eq("").sum())})
    return pd.DataFrame(rows, columns=["factor", "values", "without"])


def object_table(pictures: pd.DataFrame) -> pd.DataFrame:
    """One row an object, of those that factor.object names: how many views it has. One nameless row where there is no object."""
    names = pictures[OBJECT].fillna("") if OBJECT in pictures else pd.Series("", index=pictures.index)
    views = names[names.ne("")].value_counts().sort_index()
    if views.empty:
        return pd.DataFrame({"object": [f"there is no {OBJECT}"], "views": [0]})
    return pd.DataFrame({"object": views.index.astype(str), "views": views.to_numpy()})


def elsewhere(pictures: pd.DataFrame, column: str) -> pd.Series:
    """For each picture whose value of `column` another split has too: "value (its splits)"; else None. No value is no match."""
    values = pictures[column].fillna("") if column in pictures else pd.Series("", index=pictures.index)
    splits = pictures["split"].where(values.ne("")).groupby(values).agg(lambda found: sorted(set(found.dropna())))
    torn = {value: f"{value} ({', '.join(names)})" for value, names in splits.items() if len(names) > 1}
    return values.map(torn).astype(object).where(values.isin(list(torn)), None)


def statistics_table(
    config: GateConfig, pictures: pd.DataFrame, summary: dict[str, Any], notes: list[str]
) -> pd.DataFrame | None:
    """Mean and standard deviation over all pixels of train beside the reference; None (and a note) when there is none.

    Raises GateError when `gate.reference` cannot be read.
    """
    if config.reference is None:
        notes.append("gate.reference is null, so the statistics of the pictures were not compared with a recorded reference.")
        return None
    reference = _read_reference(Path(config.reference))
    train = pictures[(pictures["split"] == "train") & pictures["pixels_mean"].notna()]
    if train.empty:
        notes.append("No picture of train could be read, so its statistics were not compared with the reference.")
        return None
    mean = float(train["pixels_mean"].mean())
    square = float((train["pixels_all_std"] ** 2 + train["pixels_mean"] ** 2).mean())
    found = {"mean": mean, "std": math.sqrt(max(0.0, square - mean * mean))}
    if (summary["image_size"], summary["channels"]) != (reference["image_size"], reference["channels"]):
        del found["std"]
        notes.append(
            f"The reference is of {reference['image_size']} px in {reference['channels']} channel(s), these pictures are of "
            f"{summary['image_size']} px in {summary['channels']}: the mean was compared, the deviation was not."
        )
    table = pd.DataFrame({"statistic": list(found), "train": list(found.values())})
    table["reference"] = [float(reference[name]) for name in found]
    table["distance"] = (table["train"] - table["reference"]).abs()
    table["file"] = str(config.reference)
    return table


def _read_reference(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise GateError(f"gate.reference: {path} cannot be read: {error}") from None
    for key in ("mean", "std", "image_size", "channels"):
        value = values.get(key) if isinstance(values, dict) else None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise GateError(f"gate.reference: {path}: {key!r} is {value!r}; it must be a number")
    return values
