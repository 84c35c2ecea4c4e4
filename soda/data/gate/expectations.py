"""What the gate expects of the pictures: of their manifest rows, of their pixels and of their labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from soda.config import GateConfig
from soda.data.columns import SPLITS

AGAIN = "Prepare the data again (`soda prepare`)."
_TOLERANCE = 1e-4  # of mean and std in the manifest, in [0, 1]: far below one grey level


@dataclass(frozen=True)
class Expectation:
    """One expectation. `fault` begins the sentence that names the failing rows, `remedy` ends it."""

    expectation: str  # class in great_expectations.expectations
    arguments: dict[str, Any]
    about: str
    fault: str
    remedy: str


def row_checks(config: GateConfig, summary: dict[str, Any]) -> Iterator[Expectation]:
    """Of what the manifest says of each picture."""
    yield Expectation(
        "ExpectTableRowCountToEqual",
        {"value": summary["count"]},
        f"The manifest has the {summary['count']:,} rows that summary.json says.",
        f"The manifest has another number of rows than the {summary['count']:,} of summary.json",
        AGAIN,
    )
    yield Expectation(
        "ExpectColumnValuesToBeNull",
        {"column": "empty_fields"},
        "No row of the manifest has an empty field.",
        "Rows with empty fields",
        AGAIN,
    )
    yield Expectation(
        "ExpectColumnValuesToBeUnique",
        {"column": "id"},
        "No two pictures have the same id.",
        "Pictures that share their id with another",
        "Give every picture its own file name and prepare the data again.",
    )
    yield Expectation(
        "ExpectColumnValuesToBeInSet",
        {"column": "split", "value_set": list(SPLITS)},
        "Every picture is in train, val or test.",
        "Pictures in an unknown split",
        AGAIN,
    )
    for name in ("width", "height"):
        yield Expectation(
            "ExpectColumnValuesToBeBetween",
            {"column": name, "min_value": config.min_side},
            f"Every original picture has a {name} of at least {config.min_side} px.",
            f"Pictures with a {name} below {config.min_side} px",
            "Leave them out, or lower gate.min_side.",
        )
    for name, most in (("mean", 1.0), ("std", 0.5)):
        yield Expectation(
            "ExpectColumnValuesToBeBetween",
            {"column": name, "min_value": 0.0, "max_value": most},
            f"The recorded {name} of every picture lies between 0 and {most:g}.",
            f"Pictures whose recorded {name} is impossible",
            AGAIN,
        )
    yield Expectation(
        "ExpectCompoundColumnsToBeUnique",
        {"column_list": ["shard", "row"], "ignore_row_if": "never"},
        "No two rows of the manifest point at the same place in the shards.",
        "Rows that point at the place of another row",
        AGAIN,
    )


def pixel_checks(config: GateConfig) -> Iterator[Expectation]:
    """Of the pixels in the shards, and that they are those of the manifest."""
    yield Expectation(
        "ExpectColumnValuesToNotBeNull",
        {"column": "pixels_sha256"},
        "Every row of the manifest points at a picture that can be read.",
        "Rows whose picture is not in its shard or cannot be read",
        AGAIN,
    )
    yield Expectation(
        "ExpectColumnPairValuesToBeEqual",
        {"column_A": "pixels_sha256", "column_B": "sha256", "ignore_row_if": "either_value_is_missing"},
        "The pixels of every picture have the content hash of the manifest.",
        "Pictures whose pixels are not those of the manifest",
        f"Manifest or shard was altered. {AGAIN}",
    )
    for name in ("mean", "std"):
        yield Expectation(
            "ExpectColumnValuesToBeBetween",
            {"column": f"{name}_error", "min_value": 0.0, "max_value": _TOLERANCE},
            f"The recorded {name} of every picture is that of its pixels.",
            f"Pictures whose recorded {name} is not that of their pixels",
            AGAIN,
        )
    yield Expectation(
        "ExpectColumnValuesToBeBetween",
        {"column": "pixels_std", "min_value": config.min_std},
        f"No picture is constant: grey levels deviate by at least {config.min_std:g} of the full range.",
        "Pictures of (nearly) one colour",
        "Leave them out, or lower gate.min_std.",
    )
    yield Expectation(
        "ExpectColumnMaxToBeBetween",
        {"column": "pixels_max", "min_value": 2, "max_value": 255},
        "Pixels use the range 0 to 255, not 0 to 1.",
        "The brightest pixel of all",
        "The pictures seem to be scaled to [0, 1]: prepare them from 8-bit pictures.",
    )
    yield Expectation(
        "ExpectColumnValuesToBeNull",
        {"column": "copy_elsewhere"},
        "No picture occurs in more than one split, judged by its pixels.",
        "Pictures of which another split has a copy",
        "Remove one of each, or keep one automatically with dataset.duplicates=drop.",
    )


def label_checks(config: GateConfig, pictures: pd.DataFrame, summary: dict[str, Any]) -> Iterator[Expectation]:
    """Of the label of each picture."""
    yield Expectation(
        "ExpectColumnValueLengthsToBeBetween",
        {"column": "label", "min_value": 1},
        "Every picture has a label.",
        "Pictures without a label",
        "Label them or leave them out; if there are to be no labels: dataset.labels=none gate.labels=null gate.classes=null.",
    )
    yield Expectation(
        "ExpectColumnValuesToBeInSet",
        {"column": "label", "value_set": ["", *summary["labels"]]},
        "Every label is one of those that summary.json lists.",
        "Pictures with a label that summary.json does not list",
        AGAIN,
    )
    if config.labels is not None:
        yield Expectation(
            "ExpectColumnValuesToBeInSet",
            {"column": "label", "value_set": ["", *config.labels]},
            "Every label is one of those in gate.labels.",
            "Pictures with a label that is not in gate.labels",
            "Correct the label in the raw data, or add it to gate.labels.",
        )
    trained = sorted(set(pictures.loc[pictures["split"] == "train", "label"].dropna()) - {""})
    if trained:
        yield Expectation(
            "ExpectColumnValuesToBeInSet",
            {"column": "label", "value_set": ["", *trained]},
            "Every label of val and test occurs in train.",
            "Pictures with a label that train does not have",
            "Correct the label, add pictures of it, leave it out, or try another dataset.seed.",
        )
    if config.classes is not None:
        yield Expectation(
            "ExpectColumnUniqueValueCountToBeBetween",
            {"column": "label", "min_value": config.classes, "max_value": config.classes},
            f"There are exactly {config.classes} labels.",
            f"The number of labels is not the {config.classes} of gate.classes",
            "Correct the labels in the raw data, or change gate.classes.",
        )


def held_apart_check(config: GateConfig) -> Expectation:
    """Of the factor whose values may not be in two splits."""
    return Expectation(
        "ExpectColumnValuesToBeNull",
        {"column": "value_elsewhere"},
        f"No {config.held_apart} occurs in more than one split.",
        f"Pictures whose {config.held_apart} another split has too",
        f"What is to be judged was trained on. {AGAIN}",
    )


def camera_check() -> Expectation:
    """Of the camera of each picture."""
    return Expectation(
        "ExpectColumnValuesToBeNull",
        {"column": "camera_problem"},
        "Every picture has a camera: finite numbers, a rotation, and the object before it.",
        "Pictures whose camera cannot be right",
        f"Correct the pose or the intrinsics in the raw data. {AGAIN}",
    )


def view_check(config: GateConfig) -> Expectation:
    """Of the number of views that each object has."""
    return Expectation(
        "ExpectColumnValuesToBeBetween",
        {"column": "views", "min_value": config.min_views},
        f"Every object has at least {config.min_views} views.",
        "Objects with too few views",
        "Leave them out, draw more views of them, or lower gate.min_views; rejected.csv says which views were left out.",
    )


def factor_checks() -> Iterator[Expectation]:
    """Of the factors that gate.factors names."""
    yield Expectation(
        "ExpectColumnValuesToBeBetween",
        {"column": "without", "max_value": 0},
        "Every picture has a value of every factor in gate.factors.",
        "Factors of which pictures have no value",
        f"Correct gate.factors. {AGAIN}",
    )
    yield Expectation(
        "ExpectColumnValuesToBeBetween",
        {"column": "values", "min_value": 2},
        "Every factor in gate.factors has at least two values in train.",
        "Factors that do not vary",
        "Leave them out of gate.factors, or prepare data in which they vary.",
    )
