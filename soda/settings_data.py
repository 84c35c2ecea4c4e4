"""Settings of the data: where pictures come from, how they are prepared, what the gate asks of them."""

from __future__ import annotations

from dataclasses import dataclass

from soda.settings_checks import check, not_negative, one_of, positive, seed, share

SOURCES = (
    "fashion_mnist",
    "folder",
    "avatars",
    "emoji",
    "cifar10",
    "cifar100",
    "svhn",
    "flowers102",
    "celeba",
    "tiny_imagenet",
    "imagenet",
    "furniture",
    "random_objects",
    "nmr",
    "srn",
)


@dataclass(frozen=True)
class DatasetConfig:
    """Where pictures come from and how they are prepared."""

    name: str
    path: str  # what the source reads: a list of checksums, how pictures are to be drawn, or a folder
    image_size: int  # px, of the prepared square picture
    channels: int  # 1 grey, 3 RGB
    resize: str  # crop: the centre square, then resized; stretch: resized as it is
    labels: str  # official | auto | folders | none | the name of a CSV file inside `path` | the name of a factor
    csv_file_column: str
    csv_label_column: str
    duplicates: str  # keep: the gate refuses those that cross splits; drop: one of each is kept, a test picture before others
    val_fraction: float
    test_fraction: float  # of sources without an official test split
    max_unreadable: float  # share of unreadable files above which prepare stops
    max_pixels: int  # a picture of more pixels is refused unread (decompression bombs)
    min_side: int  # px; a smaller picture is refused
    shard_size: int  # pictures a shard
    workers: int  # processes; 0: one a core
    seed: int

    def __post_init__(self) -> None:
        one_of("dataset.name", self.name, SOURCES)
        check(bool(self.path), "dataset.path", self.path, "a path, e.g. dataset.path=/home/me/pictures")
        check(8 <= self.image_size <= 1024, "dataset.image_size", self.image_size, "8 to 1024 px")
        one_of("dataset.channels", self.channels, (1, 3))
        one_of("dataset.resize", self.resize, ("crop", "stretch"))
        one_of("dataset.duplicates", self.duplicates, ("keep", "drop"))
        share("dataset.max_unreadable", self.max_unreadable)
        for key in ("val_fraction", "test_fraction"):
            check(0 < getattr(self, key) < 1, f"dataset.{key}", getattr(self, key), "a share between 0 and 1")
        check(
            self.val_fraction + self.test_fraction < 1,
            "dataset.val_fraction + dataset.test_fraction",
            self.val_fraction + self.test_fraction,
            "less than 1, so that something is left to train on",
        )
        for key in ("max_pixels", "min_side", "shard_size"):
            positive(f"dataset.{key}", getattr(self, key))
        not_negative("dataset.workers", self.workers)
        seed("dataset.seed", self.seed)


@dataclass(frozen=True)
class GateConfig:
    """What the prepared data must satisfy before anything may be trained on it."""

    min_train: int  # pictures in the train split
    min_val: int
    min_test: int
    classes: int | None  # how many labels there must be; null: any number
    labels: tuple[str, ...] | None  # the names that they must have; null: any
    max_imbalance: float  # the commonest label's count over the rarest's, in train
    min_side: int  # px, of the original pictures
    min_std: float  # in [0, 1] grey levels; a flatter picture counts as constant
    reference: str | None  # YAML of recorded mean and std of the train split; null: no comparison
    max_shift: float  # greatest distance from the reference, in grey levels of [0, 1]
    allow_failure: bool  # train on data that failed; the report then says so in red
    factors: tuple[str, ...] = ()  # known factors of which every picture must have a value
    held_apart: str | None = None  # a factor whose values may each occur in one split only; null: none
    min_views: int = 0  # views that each object must have; 0: the pictures are not of objects seen by cameras

    def __post_init__(self) -> None:
        for key in ("min_train", "min_val", "min_test"):
            check(getattr(self, key) >= 1, f"gate.{key}", getattr(self, key), "1 or more")
        check(self.classes is None or self.classes >= 1, "gate.classes", self.classes, "1 or more, or null")
        check(self.labels is None or bool(self.labels), "gate.labels", self.labels, "at least one name, or null")
        check(
            self.labels is None or self.classes in (None, len(set(self.labels))),
            "gate.classes",
            self.classes,
            f"the number of names in gate.labels ({len(set(self.labels or ()))}), or null",
        )
        positive("gate.min_side", self.min_side)
        not_negative("gate.min_views", self.min_views)
        check(
            self.held_apart is None or self.held_apart in self.factors,
            "gate.held_apart",
            self.held_apart,
            f"one of gate.factors ({', '.join(self.factors) or 'there are none'}), or null",
        )
        check(self.max_imbalance >= 1, "gate.max_imbalance", self.max_imbalance, "1 or more")
        share("gate.min_std", self.min_std)
        share("gate.max_shift", self.max_shift)
