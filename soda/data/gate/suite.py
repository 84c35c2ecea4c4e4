"""The expectation suites of the gate: one for each table that it judges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from soda.config import GateConfig
from soda.data.columns import FACTOR
from soda.data.gate.expectations import (
    AGAIN,
    Expectation,
    camera_check,
    factor_checks,
    held_apart_check,
    label_checks,
    pixel_checks,
    row_checks,
    view_check,
)
from soda.data.gate.reading import PreparedReading
from soda.data.gate.tables import (
    elsewhere,
    factor_table,
    is_labelled,
    label_table,
    object_table,
    split_table,
    statistics_table,
)


@dataclass(frozen=True)
class GateTable:
    """A data frame and what it has to meet. A failing row is named by its columns `id` and `file` ("": it has none)."""

    name: str
    about: str
    frame: pd.DataFrame
    checks: list[Expectation]
    id: str
    file: str


def tables(config: GateConfig, reading: PreparedReading) -> list[GateTable]:
    """What there is to judge, as far as the data could be read. Adds to `reading.notes` what is left out and why."""
    about = "Every file of the prepared data, and what it was when it was prepared."
    found = [GateTable("files", about, reading.files, _files(), "", "file")]
    if reading.columns is not None:
        checks = [
            Expectation(
                "ExpectColumnPairValuesToBeEqual",
                {"column_A": "kind", "column_B": "wanted_kind", "ignore_row_if": "neither"},
                "The manifest has all its columns, each of the right kind.",
                "Manifest columns that are absent or of the wrong kind",
                AGAIN,
            )
        ]
        found.append(GateTable("columns", "The columns of manifest.parquet.", reading.columns, checks, "column", ""))
    pictures, summary = reading.pictures, reading.summary
    if pictures is None or summary is None:
        reading.notes.append("Some files or columns cannot be read, so the pictures themselves were not judged.")
        return found
    labelled = is_labelled(config, pictures, summary)
    checks = [*row_checks(config, summary), *pixel_checks(config)]
    if labelled:
        checks += label_checks(config, pictures, summary)
    else:
        reading.notes.append("No picture has a label, so the checks of labels were left out.")
    if config.held_apart is not None:
        pictures = pictures.assign(value_elsewhere=elsewhere(pictures, FACTOR + config.held_apart))
        checks.append(held_apart_check(config))
    if "camera_problem" in pictures:
        checks.append(camera_check())
    elif config.min_views:
        reading.notes.append("The manifest has no cameras, so they were not judged.")
    about = "The manifest joined with a fresh reading of the shards, one row a picture."
    found.append(GateTable("pictures", about, pictures, checks, "id", "file"))
    splits = split_table(config, pictures, summary)
    found.append(GateTable("splits", "How many pictures each split has.", splits, list(_splits()), "split", ""))
    if labelled:
        labels = label_table(config, pictures, summary)
        found.append(
            GateTable("labels", "The labels, and how many pictures have each.", labels, list(_labels(config)), "label", "")
        )
    if config.factors:
        factors = factor_table(config, pictures)
        found.append(GateTable("factors", "What is known of every picture.", factors, list(factor_checks()), "factor", ""))
    if config.min_views:
        seen = object_table(pictures)
        found.append(GateTable("objects", "The views that each object has.", seen, [view_check(config)], "object", ""))
    statistics = statistics_table(config, pictures, summary, reading.notes)
    if statistics is not None:
        about = "Grey levels of the train split beside the recorded reference."
        found.append(GateTable("statistics", about, statistics, [_shift(config)], "statistic", "file"))
    return found


def _files() -> list[Expectation]:
    return [
        Expectation(
            "ExpectColumnValuesToBeNull",
            {"column": "problem"},
            "Every file of the prepared data is there and can be read.",
            "Files that are missing, damaged or foreign",
            AGAIN,
        ),
        Expectation(
            "ExpectColumnPairValuesToBeEqual",
            {"column_A": "found_sha256", "column_B": "prepared_sha256", "ignore_row_if": "either_value_is_missing"},
            "Every file is byte for byte what was prepared.",
            "Files altered since they were prepared",
            f"Undo the change, or make it in the raw data. {AGAIN}",
        ),
        Expectation(
            "ExpectColumnPairValuesToBeEqual",
            {"column_A": "found_pictures", "column_B": "prepared_pictures", "ignore_row_if": "either_value_is_missing"},
            "Every shard holds as many pictures as summary.json says.",
            "Shards with another number of pictures than summary.json says",
            AGAIN,
        ),
        Expectation(
            "ExpectColumnPairValuesToBeEqual",
            {"column_A": "manifest_rows", "column_B": "found_pictures", "ignore_row_if": "either_value_is_missing"},
            "The manifest has one row for every picture of every shard.",
            "Shards with another number of pictures than the manifest has rows for them",
            AGAIN,
        ),
    ]


def _splits() -> Iterator[Expectation]:
    yield Expectation(
        "ExpectColumnPairValuesAToBeGreaterThanB",
        {"column_A": "pictures", "column_B": "minimum", "or_equal": True, "ignore_row_if": "neither"},
        "Every split has at least the pictures that gate.min_train, gate.min_val and gate.min_test ask for.",
        "Splits with too few pictures",
        "Add pictures, raise dataset.val_fraction or dataset.test_fraction, try another dataset.seed, or lower gate.min_<split>.",
    )
    yield Expectation(
        "ExpectColumnPairValuesToBeEqual",
        {"column_A": "pictures", "column_B": "prepared", "ignore_row_if": "neither"},
        "Every split has the pictures that summary.json says.",
        "Splits with another number of pictures than summary.json says",
        AGAIN,
    )


def _labels(config: GateConfig) -> Iterator[Expectation]:
    yield Expectation(
        "ExpectColumnValuesToBeBetween",
        {"column": "pictures", "min_value": 1},
        "Every label that summary.json or gate.labels names occurs.",
        "Labels without a picture",
        "Add pictures of them, or take them out of gate.labels and prepare the data again.",
    )
    yield Expectation(
        "ExpectColumnValuesToBeBetween",
        {"column": "times_rarer", "max_value": config.max_imbalance},
        f"In train no label is more than {config.max_imbalance:g} times rarer than the commonest.",
        f"Labels more than {config.max_imbalance:g} times rarer than the commonest",
        "Add pictures of them, leave them out, or raise gate.max_imbalance.",
    )


def _shift(config: GateConfig) -> Expectation:
    return Expectation(
        "ExpectColumnValuesToBeBetween",
        {"column": "distance", "min_value": 0.0, "max_value": config.max_shift},
        f"Mean and deviation of train lie within {config.max_shift:g} of the recorded reference.",
        f"Statistics further than {config.max_shift:g} from the reference",
        "The pictures are others than those recorded, or prepared otherwise; if that is meant, set gate.reference=null.",
    )
