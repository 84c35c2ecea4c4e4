"""The expectation suites of the gate: one for each table that it judges."""

from __future__ import annotations

from pathlib import Path

from soda.config import GateConfig
from soda.data.columns import FACTOR
from soda.data.gate import expectations as expect
from soda.data.gate.by_encoder import encoder_of
from soda.data.gate.compared import compared
from soda.data.gate.gate_table import GateTable
from soda.data.gate.reading import PreparedReading
from soda.data.gate.tables import elsewhere, factor_table, is_labelled, label_table, object_table, split_table, statistics_table

FEW = 64


def tables(
    config: GateConfig, reading: PreparedReading, accepted: Path | None = None, releases: Path | None = None
) -> list[GateTable]:
    """What there is to judge, as far as the data could be read. Adds to `reading.notes` what is left out and why.

    accepted: the folder that says how accepted versions were; None: nothing is compared with them. releases: the folder whose
    encoder in use is asked, too, where gate.encoder says so.
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
    pictures, more, changes = compared(reading, pictures, accepted, encoder_of(config.encoder, releases))
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
    return found + changes
