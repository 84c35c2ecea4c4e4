"""The expectation suites of the gate: one for each table that it judges."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from soda.config import GateConfig
from soda.data.columns import FACTOR
from soda.data.gate import expectations as expect
from soda.data.gate.accepted import change_table, describe_version, label_change_table, last_accepted, place_of
from soda.data.gate.comparisons import change_checks, label_change_checks, likeness_checks
from soda.data.gate.expectations import Expectation
from soda.data.gate.likeness import gainsaid_labels, near_copies
from soda.data.gate.reading import PreparedReading
from soda.data.gate.tables import elsewhere, factor_table, is_labelled, label_table, object_table, split_table, statistics_table
from soda.data.near_copies import Neighbourhood

FEW = 64


@dataclass(frozen=True)
class GateTable:
    """A data frame and what it has to meet. A failing row is named by its columns `id` and `file` ("": it has none)."""

    name: str
    about: str
    frame: pd.DataFrame
    checks: list[Expectation]
    id: str
    file: str


def _compared(reading: PreparedReading, pictures: pd.DataFrame) -> tuple[pd.DataFrame, list[Expectation]]:
    """The pictures with what comparing them shows, and what is expected of it."""
    if reading.thumbs is None or reading.summary is None:
        reading.notes.append("The pictures were not compared with each other: some cannot be read, or there are too many.")
        return pictures, []
    near = Neighbourhood(reading.thumbs)
    shards = [reading.folder / shard["file"] for shard in reading.summary["shards"]]
    gainsaid, judged = gainsaid_labels(pictures, near)
    copies = near_copies(pictures, reading.thumbs, near, shards)
    pictures = pictures.assign(near_copy_elsewhere=copies, label_gainsaid=gainsaid)
    count = int((pictures["label_gainsaid"].notna()).sum())
    if judged:
        reading.notes.append(
            f"{judged:,} labels could be held against those of the pictures most alike; {count:,} ({count / judged:.1%}) are "
            "gainsaid by them."
        )
    return pictures, list(likeness_checks(count, judged))


def _changes(reading: PreparedReading, accepted: Path) -> list[GateTable]:
    """This version beside the last accepted one of the same data set, where `accepted` has one."""
    if reading.thumbs is None or reading.pictures is None or reading.summary is None:
        return []
    path = place_of(accepted, reading.summary)
    reading.description = describe_version(reading.pictures, reading.thumbs, reading.summary, reading.manifest_sha256)
    before = last_accepted(path, reading.manifest_sha256)
    if before is None:
        reading.notes.append("No other version of this data set was accepted here, so this one was compared with none.")
        return []
    reading.notes.append(f"Compared with the last accepted version, {before['version'][:12]}…, of which {path} says how it was.")
    changes, labels = change_table(reading.description, before), label_change_table(reading.description, before)
    about = "Statistics of train beside those of the last accepted version of this data set."
    found = [GateTable("changes", about, changes, list(change_checks(path)), "statistic", "")]
    if len(labels):
        about = "Labels in train beside those of the last accepted version."
        found.append(GateTable("label_changes", about, labels, list(label_change_checks(path)), "label", ""))
    return found


def tables(config: GateConfig, reading: PreparedReading, accepted: Path | None = None) -> list[GateTable]:
    """What there is to judge, as far as the data could be read. Adds to `reading.notes` what is left out and why.

    accepted: the folder that says how accepted versions were; None: nothing is compared with them.
    """
    about = "Every file of the prepared data, and what it was when it was prepared."
    found = [GateTable("files", about, reading.files, list(expect.file_checks()), "", "file")]
    if reading.columns is not None:
        checks = [expect.column_check()]
        found.append(GateTable("columns", "The columns of manifest.parquet.", reading.columns, checks, "column", ""))
    pictures, summary = reading.pictures, reading.summary
    if pictures is None or summary is None:
        reading.notes.append("Some files or columns cannot be read, so the pictures themselves were not judged.")
        return found
    labelled = is_labelled(config, pictures, summary)
    checks = [*expect.row_checks(config, summary), *expect.pixel_checks(config)]
    if labelled:
        checks += expect.label_checks(config, pictures, summary)
    else:
        reading.notes.append("No picture has a label, so the checks of labels were left out.")
    pictures, more = _compared(reading, pictures)
    checks += more
    if config.held_apart is not None:
        pictures = pictures.assign(value_elsewhere=elsewhere(pictures, FACTOR + config.held_apart))
        checks.append(expect.held_apart_check(config))
    if "camera_problem" in pictures:
        checks.append(expect.camera_check())
    elif config.min_views:
        reading.notes.append("The manifest has no cameras, so they were not judged.")
    about = "The manifest joined with a fresh reading of the shards, one row a picture."
    found.append(GateTable("pictures", about, pictures, checks, "id", "file"))
    splits = split_table(config, pictures, summary)
    found.append(GateTable("splits", "How many pictures each split has.", splits, list(expect.split_checks()), "split", ""))
    trained_on = int(splits["pictures"][0])
    if config.min_train <= trained_on < FEW:
        reading.remarks.append(f"Train has {trained_on} pictures; of fewer than {FEW} little is learned. Add some, if you can.")
    if several := summary.get("several_frames"):
        some = ", ".join(several["first"]) + (", ..." if several["count"] > len(several["first"]) else "")
        reading.remarks.append(
            f"{several['count']} files hold several frames or pages (animations, scans); the first of each is taken: {some}"
        )
    if labelled:
        labels = label_table(config, pictures, summary)
        checks = list(expect.label_count_checks(config))
        found.append(GateTable("labels", "The labels, and how many pictures have each.", labels, checks, "label", ""))
    if config.factors:
        factors = factor_table(config, pictures)
        found.append(GateTable("factors", "What is known of every picture.", factors, list(expect.factor_checks()), "factor", ""))
    if config.min_views:
        seen = object_table(pictures)
        found.append(GateTable("objects", "The views that each object has.", seen, [expect.view_check(config)], "object", ""))
    statistics = statistics_table(config, pictures, summary, reading.notes)
    if statistics is not None:
        about = "Grey levels of the train split beside the recorded reference."
        found.append(GateTable("statistics", about, statistics, [expect.shift_check(config)], "statistic", "file"))
    return found + (_changes(reading, accepted) if accepted is not None else [])
