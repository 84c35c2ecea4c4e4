"""Settings of the data: where images come from, how they are prepared, what the gate asks of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from soda.config.validated import Before, Count, CountOrZero, Flag, Number, Seed, Share, Whole, check, settings

Text = Annotated[str, Field(min_length=1)]
Part = Annotated[Number, Field(gt=0, lt=1)]


@settings("dataset")
class DatasetConfig:
    """Where images come from and how they are prepared."""

    name: Text  # of a source, by the table in soda/data/sources
    path: Text  # what the source reads: a list of checksums, how images are to be drawn, or a folder, e.g. /home/me/pictures
    image_size: Annotated[Whole, Field(ge=8, le=1024)]  # px, of the prepared square image
    channels: Literal[1, 3]  # grey, RGB
    resize: Literal["crop", "stretch"]  # crop: the centre square, then resized; stretch: resized as it is
    labels: str  # official | auto | folders | none | the name of a CSV file inside `path` | the name of a factor
    csv_file_column: str
    csv_label_column: str
    duplicates: Literal["keep", "drop"]  # keep: the gate refuses those that cross splits; drop: one of each stays, of test first
    splits: Annotated[Literal["official", "auto", "content"], Before("official")]
    """official: the data set's own, the rest by the hash of ids. content: copies and near copies go to one split. auto: folders
    called train, val or test are the splits; what they leave open by content."""
    val_fraction: Part
    test_fraction: Part  # of sources without an official test split
    max_unreadable: Share  # share of unreadable files above which prepare stops
    max_pixels: Count  # an image of more pixels is refused unread (decompression bombs)
    min_side: Count  # px; a smaller image is refused
    # In [0, 1] grey levels, of the channel that varies most; a flatter image is left out as blank; 0: none is
    min_std: Annotated[Share, Before(0.0)]
    shard_size: Count  # images a shard
    workers: CountOrZero  # processes; 0: one a core
    seed: Seed

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> DatasetConfig:
        held_out = self.val_fraction + self.test_fraction
        must_be = "less than 1, so that something is left to train on"
        check(held_out < 1, "val_fraction + dataset.test_fraction", held_out, must_be)
        return self


@settings("gate")
class GateConfig:
    """What the prepared data must satisfy before anything may be trained on it."""

    min_train: Count  # images in the train split
    min_val: Count
    min_test: Count
    classes: Count | None  # how many labels there must be; null: any number
    labels: Annotated[tuple[str, ...], Field(min_length=1)] | None  # the names that they must have; null: any
    max_imbalance: Annotated[Number, Field(ge=1)] | None  # the commonest label's count over the rarest's, in train; null: any
    min_side: Count  # px, of the original images
    min_std: Share  # in [0, 1] grey levels; a flatter image counts as constant
    reference: str | None  # YAML of recorded mean and std of the train split; null: no comparison
    max_shift: Share  # greatest distance from the reference, in grey levels of [0, 1]
    allow_failure: Flag  # train on data that failed; the report then says so in red
    factors: Annotated[tuple[str, ...], Before(())]  # known factors of which every image must have a value
    held_apart: Annotated[str | None, Before(None)]  # a factor whose values may each occur in one split only; null: none
    # Views that each object must have; 0: the images are not of objects seen by cameras
    min_views: Annotated[CountOrZero, Before(0)]
    # The encoder.onnx that labels, kinds and the whole are judged by besides pixels; released: the one in use; null: none
    encoder: Annotated[str | None, Before(None)]

    @model_validator(mode="after")
    def _names_agree(self) -> GateConfig:
        names = len(set(self.labels or ()))
        counted = self.labels is None or self.classes in (None, names)
        check(counted, "classes", self.classes, f"the number of names in gate.labels ({names}), or null")
        check(
            self.held_apart is None or self.held_apart in self.factors,
            "held_apart",
            self.held_apart,
            f"one of gate.factors ({', '.join(self.factors) or 'there are none'}), or null",
        )
        return self
