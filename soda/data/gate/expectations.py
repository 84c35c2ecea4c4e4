"""What the gate expects: of the files, of the manifest's rows, of pixels and labels, and of the small tables beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from soda.config import GateConfig
from soda.data.columns import SPLITS

AGAIN = "Prepare the data again (`soda prepare`)."
RARE = 1000
"""Times rarer than the commonest, beyond which a label is remarked where gate.max_imbalance sets no bound."""
_TOLERANCE = 1e-4  # of mean and std in the manifest, in [0, 1]: far below one grey level


@dataclass(frozen=True)
class Expectation:
    """One expectation. `fault` begins the sentence that names the failing rows, `remedy` ends it."""

    expectation: str  # class in great_expectations.expectations
    arguments: dict[str, Any]
    about: str
    fault: str
    remedy: str = AGAIN
    remark: bool = False  # what fails is said, and trained on all the same


Said = Callable[..., Expectation]
"""What makes an expectation of its words: about, fault and, where it is not AGAIN, remedy."""


def between(column: str, least: float | None = None, most: float | None = None, what: str = "Values") -> Said:
    bounds = {"min_value": least, "max_value": most}
    arguments = {"column": column} | {key: value for key, value in bounds.items() if value is not None}
    return partial(Expectation, f"ExpectColumn{what}ToBeBetween", arguments)


def empty(column: str) -> Said:
    return partial(Expectation, "ExpectColumnValuesToBeNull", {"column": column})


def _in_set(column: str, values: Iterable[str]) -> Said:
    return partial(Expectation, "ExpectColumnValuesToBeInSet", {"column": column, "value_set": list(values)})


def _equal(first: str, second: str, ignored: str = "either_value_is_missing") -> Said:
    arguments = {"column_A": first, "column_B": second, "ignore_row_if": ignored}
    return partial(Expectation, "ExpectColumnPairValuesToBeEqual", arguments)


def file_checks() -> Iterator[Expectation]:
    """Of every file of the prepared data."""
    yield empty("problem")(
        "Every file of the prepared data is there and can be read.", "Files that are missing, damaged or foreign"
    )
    yield _equal("found_sha256", "prepared_sha256")(
        "Every file is byte for byte what was prepared.",
        "Files altered since they were prepared",
        f"Undo the change, or make it in the raw data. {AGAIN}",
    )
    yield _equal("found_pictures", "prepared_pictures")(
        "Every shard holds as many pictures as summary.json says.",
        "Shards with another number of pictures than summary.json says",
    )
    yield _equal("manifest_rows", "found_pictures")(
        "The manifest has one row for every picture of every shard.",
        "Shards with another number of pictures than the manifest has rows for them",
    )


def column_check() -> Expectation:
    """Of the columns of the manifest."""
    return _equal("kind", "wanted_kind", ignored="neither")(
        "The manifest has all its columns, each of the right kind.", "Manifest columns that are absent or of the wrong kind"
    )


def row_checks(config: GateConfig, summary: dict[str, Any]) -> Iterator[Expectation]:
    """Of what the manifest says of each picture."""
    yield Expectation(
        "ExpectTableRowCountToEqual",
        {"value": summary["count"]},
        f"The manifest has the {summary['count']:,} rows that summary.json says.",
        f"The manifest has another number of rows than the {summary['count']:,} of summary.json",
    )
    yield empty("empty_fields")("No row of the manifest has an empty field.", "Rows with empty fields")
    yield Expectation(
        "ExpectColumnValuesToBeUnique",
        {"column": "id"},
        "No two pictures have the same id.",
        "Pictures that share their id with another",
        "Give every picture its own file name and prepare the data again.",
    )
    yield _in_set("split", SPLITS)("Every picture is in train, val or test.", "Pictures in an unknown split")
    for name in ("width", "height"):
        yield between(name, config.min_side)(
            f"Every original picture has a {name} of at least {config.min_side} px.",
            f"Pictures with a {name} below {config.min_side} px",
            "Leave them out, or lower gate.min_side.",
        )
    for name, most in (("mean", 1.0), ("std", 0.5)):
        yield between(name, 0.0, most)(
            f"The recorded {name} of every picture lies between 0 and {most:g}.", f"Pictures whose recorded {name} is impossible"
        )
    yield Expectation(
        "ExpectCompoundColumnsToBeUnique",
        {"column_list": ["shard", "row"], "ignore_row_if": "never"},
        "No two rows of the manifest point at the same place in the shards.",
        "Rows that point at the place of another row",
    )


def pixel_checks(config: GateConfig) -> Iterator[Expectation]:
    """Of the pixels in the shards, and that they are those of the manifest."""
    yield Expectation(
        "ExpectColumnValuesToNotBeNull",
        {"column": "pixels_sha256"},
        "Every row of the manifest points at a picture that can be read.",
        "Rows whose picture is not in its shard or cannot be read",
    )
    yield _equal("pixels_sha256", "sha256")(
        "The pixels of every picture have the content hash of the manifest.",
        "Pictures whose pixels are not those of the manifest",
        f"Manifest or shard was altered. {AGAIN}",
    )
    for name in ("mean", "std"):
        yield between(f"{name}_error", 0.0, _TOLERANCE)(
            f"The recorded {name} of every picture is that of its pixels.",
            f"Pictures whose recorded {name} is not that of their pixels",
        )
    yield between("pixels_std", config.min_std)(
        f"No picture is constant: grey levels deviate by at least {config.min_std:g} of the full range.",
        "Pictures of (nearly) one colour",
        f"Leave them out (dataset.min_std={config.min_std:g} does), or lower gate.min_std.",
    )
    yield between("pixels_max", 2, 255, what="Max")(
        "Pixels use the range 0 to 255, not 0 to 1.",
        "The brightest pixel of all",
        "The pictures seem to be scaled to [0, 1]: prepare them from 8-bit pictures.",
    )
    yield empty("copy_elsewhere")(
        "No picture occurs in more than one split, judged by its pixels.",
        "Pictures of which another split has a copy",
        "Remove one of each, or keep one automatically with dataset.duplicates=drop.",
    )


def label_checks(config: GateConfig, pictures: pd.DataFrame, summary: dict[str, Any]) -> Iterator[Expectation]:
    """Of the label of each picture."""
    yield between("label", 1, what="ValueLengths")(
        "Every picture has a label.",
        "Pictures without a label",
        "Label them or leave them out; if there are to be no labels: dataset.labels=none gate.labels=null gate.classes=null.",
    )
    yield _in_set("label", ["", *summary["labels"]])(
        "Every label is one of those that summary.json lists.", "Pictures with a label that summary.json does not list"
    )
    if config.labels is not None:
        yield _in_set("label", ["", *config.labels])(
            "Every label is one of those in gate.labels.",
            "Pictures with a label that is not in gate.labels",
            "Correct the label in the raw data, or add it to gate.labels.",
        )
    trained = sorted(set(pictures.loc[pictures["split"] == "train", "label"].dropna()) - {""})
    if trained:
        yield _in_set("label", ["", *trained])(
            "Every label of val and test occurs in train.",
            "Pictures with a label that train does not have",
            "Correct the label, add pictures of it, leave it out, or try another dataset.seed.",
        )
    if config.classes is not None:
        yield between("label", config.classes, config.classes, what="UniqueValueCount")(
            f"There are exactly {config.classes} labels.",
            f"The number of labels is not the {config.classes} of gate.classes",
            "Correct the labels in the raw data, or change gate.classes.",
        )


def held_apart_check(config: GateConfig) -> Expectation:
    """Of the factor whose values may not be in two splits."""
    return empty("value_elsewhere")(
        f"No {config.held_apart} occurs in more than one split.",
        f"Pictures whose {config.held_apart} another split has too",
        f"What is to be judged was trained on. {AGAIN}",
    )


def camera_check() -> Expectation:
    """Of the camera of each picture."""
    return empty("camera_problem")(
        "Every picture has a camera: finite numbers, a rotation, and the object before it.",
        "Pictures whose camera cannot be right",
        f"Correct the pose or the intrinsics in the raw data. {AGAIN}",
    )


def view_check(config: GateConfig) -> Expectation:
    """Of the number of views that each object has."""
    return between("views", config.min_views)(
        f"Every object has at least {config.min_views} views.",
        "Objects with too few views",
        "Leave them out, draw more views of them, or lower gate.min_views; rejected.csv says which views were left out.",
    )


def factor_checks() -> Iterator[Expectation]:
    """Of the factors that gate.factors names."""
    yield between("without", most=0)(
        "Every picture has a value of every factor in gate.factors.",
        "Factors of which pictures have no value",
        f"Correct gate.factors. {AGAIN}",
    )
    yield between("values", 2)(
        "Every factor in gate.factors has at least two values in train.",
        "Factors that do not vary",
        "Leave them out of gate.factors, or prepare data in which they vary.",
    )


def split_checks() -> Iterator[Expectation]:
    """Of the number of pictures in each split."""
    yield Expectation(
        "ExpectColumnPairValuesAToBeGreaterThanB",
        {"column_A": "pictures", "column_B": "minimum", "or_equal": True, "ignore_row_if": "neither"},
        "Every split has at least the pictures that gate.min_train, gate.min_val and gate.min_test ask for.",
        "Splits with too few pictures",
        "Add pictures, raise dataset.val_fraction or dataset.test_fraction, try another dataset.seed, or lower gate.min_<split>.",
    )
    yield _equal("pictures", "prepared", ignored="neither")(
        "Every split has the pictures that summary.json says.", "Splits with another number of pictures than summary.json says"
    )


def label_count_checks(config: GateConfig) -> Iterator[Expectation]:
    """Of the number of pictures that each label has."""
    yield between("pictures", 1)(
        "Every label that summary.json or gate.labels names occurs.",
        "Labels without a picture",
        "Add pictures of them, or take them out of gate.labels and prepare the data again.",
    )
    unbounded = config.max_imbalance is None  # training needs no labels; only what is measured with them suffers
    most = config.max_imbalance or RARE
    yield between("times_rarer", most=most)(
        f"In train no label is more than {most:g} times rarer than the commonest.",
        f"Labels more than {most:g} times rarer than the commonest",
        "Add pictures of them, or leave them out: probes cannot learn them."
        if unbounded
        else "Add pictures of them, leave them out, or raise gate.max_imbalance.",
        remark=unbounded,
    )


def shift_check(config: GateConfig) -> Expectation:
    """Of the statistics of train beside the reference."""
    return between("distance", 0.0, config.max_shift)(
        f"Mean and deviation of train lie within {config.max_shift:g} of the recorded reference.",
        f"Statistics further than {config.max_shift:g} from the reference",
        "The pictures are others than those recorded, or prepared otherwise; if that is meant, set gate.reference=null.",
    )
