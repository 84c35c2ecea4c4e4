"""What a source of pictures is. A new one is a module with these names, entered in the registry of this package."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import TypeAdapter, ValidationError

from soda.common.errors import SodaError
from soda.config import DatasetConfig
from soda.config.validated import describe
from soda.data.pixels import Loader

S = TypeVar("S")


class SourceError(SodaError, ValueError):
    """Raw data that cannot be had or is not what it should be; the message names the file, row or setting."""


class UnreachableError(SourceError):
    """No place that has the data could be reached; later may be better, so the command ends with EX_TEMPFAIL."""

    exit_code = 75


TRAIN = "train, whole"
"""The split of an item of an official train split that has an official val beside it, so that none is drawn from it."""


@dataclass(frozen=True, slots=True)
class Item:
    """One picture, not read yet."""

    id: str  # unique within the source and the same every time: splits are drawn from it
    file: str  # where it comes from, for a person to find it
    load: Loader  # reads it in a worker process
    label: str = ""  # "" when there is none
    split: str | None = None  # the official split, when there is one: "test", "val", "train" (val is then drawn from it) or TRAIN
    extra: Mapping[str, Any] = field(default_factory=dict)  # values of the source's own manifest columns
    factors: Mapping[str, str] = field(default_factory=dict)  # what is known of it, e.g. hair: long; "" where it is not
    group: str = ""  # pictures of one group go to one split, where none is official; "": it is a group of its own


def split_of(official: str | None, group: str, config: DatasetConfig) -> str:
    """The official split where there is one, the rest by hash of the group or id, so that a picture never moves when others
    come or go."""
    if official in ("test", "val"):
        return official
    if official == TRAIN:
        return "train"
    digest = hashlib.sha256(f"{config.seed}:{group}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2.0**64
    if official is None:
        if place < config.test_fraction:
            return "test"
        place -= config.test_fraction
    return "val" if place < config.val_fraction else "train"


@dataclass(frozen=True)
class Opened:
    """What a fetch left, opened for reading.

    factors: the names that the items' `factors` may have; each becomes a manifest column `factor.<name>`. count: of the items.
    items: gives every picture, in the same order each time. Called once a split, so it must be cheap: the loaders do the work.
    """

    factors: Sequence[str]
    count: int
    items: Callable[[], Iterator[Item]]


class Source(Protocol):
    """Attributes and functions of a source module."""

    @property
    def COLUMNS(self) -> Mapping[str, pa.DataType]:
        """Manifest columns beyond those that every source has and the factors, e.g. a camera: name -> type."""

    @property
    def LICENCE(self) -> str: ...

    def origin(self, config: DatasetConfig) -> str:
        """Where the pictures come from, the same on every machine: goes into summary.json."""

    def fetch(self, config: DatasetConfig, raw: Path, earlier: Path) -> dict[str, Any]:
        """Fill the empty folder `raw`, or raise SourceError. Returns counts worth printing.

        `earlier` is what the last fetch left, if anything, for a source that would else download the same again.
        """

    def opened(self, config: DatasetConfig, raw: Path) -> Opened:
        """Raises SourceError when `raw` is not what `fetch` wrote, or `dataset.labels` is not possible."""


def read_described(path: Path, kind: type[S]) -> S:
    """The YAML file `dataset.path`, which says how pictures are made, as a `kind`. Raises SourceError naming the wrong key."""
    try:
        return TypeAdapter(kind).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise SourceError(f"{path}: {describe(error, kind, whole='its content')}") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SourceError(f"dataset.path: {path} cannot be read: {error}") from None


def fetched_as(made_with: Mapping[str, str], factors: Sequence[str] = ()) -> dict[str, str]:
    """The metadata of a table that a fetch leaves: what it was made with, and the names of the factors in it."""
    return {"made_with": json.dumps(dict(made_with)), "factors": json.dumps(list(factors))}


def open_fetched(path: Path, made_with: Mapping[str, str]) -> tuple[pq.ParquetFile, tuple[str, ...]]:
    """The table that a fetch left at `path`, and the names of its factors.

    Raises SourceError when it is missing or damaged, or was made with anything else than `made_with`.
    """
    try:
        table = pq.ParquetFile(path)
        found = table.schema_arrow.metadata or {}
        was: dict[str, str] = json.loads(found[b"made_with"])
        factors = tuple(json.loads(found[b"factors"]))
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file; fetch the data first") from None
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise SourceError(f"{path}: cannot be read ({error}); fetch the data again") from None
    for key, now in made_with.items():
        if was.get(key) != now:
            table.close()
            raise SourceError(f"{path}: fetched with {key}={was.get(key)}, which is now {now}; fetch the data again")
    return table, factors


def settings_of(config: DatasetConfig, *names: str) -> dict[str, str]:
    """Settings of `dataset` by name, as `fetched_as` takes them."""
    return {f"dataset.{name}": str(getattr(config, name)) for name in names}


def require_label(config: DatasetConfig, factors: Sequence[str], *, others: Sequence[str] = ("none",)) -> None:
    """Raises SourceError when `dataset.labels` is neither one of the factors nor of `others`."""
    if config.labels not in (*others, *factors):
        raise SourceError(
            f"dataset.labels: {config.labels!r} is not possible for {config.name}; it must be {' or '.join(others)} or a factor: "
            + ", ".join(factors)
        )
