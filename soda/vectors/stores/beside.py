"""Stores that hold vectors alone, by their number: names and origin lie in two small files beside them.

NAME.csv has a row for each vector, in their order: file, size and modified. NAME.json says where they came from. It goes first
and comes last, so that a run that was killed between the files leaves no set that seems whole.
"""

from __future__ import annotations

import csv
import json
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from soda.common.files import whole_file, write_json
from soda.vectors import VectorsError
from soda.vectors.origin import Origin
from soda.vectors.store import DAMAGE
from soda.vectors.stores.kinds import BLOCK, Rows, Sink, Store

HEAD = ["file", "size", "modified"]


class Beside(Store):
    """A store whose one file of vectors knows no names."""

    @property
    def listing(self) -> Path:
        return self.path.with_name(f"{self.path.name}.csv")

    @property
    def about(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def check(self, normalize: str | None) -> None:
        super().check(normalize)
        for path in (self.path, self.listing, self.about):
            if path.is_dir():
                raise VectorsError(f"{path}: cannot be written; there is a folder of this name")

    def origin(self) -> Origin | None:
        try:
            origin = Origin(**json.loads(self.about.read_text(encoding="utf-8")))
            origin.check()
            return origin if self.path.is_file() and self.listing.is_file() else None
        except (TypeError, *DAMAGE):
            return None

    def rows(self, *, vectors: bool = True) -> Iterator[Rows]:
        z = self.vectors() if vectors else None
        with self.listing.open(encoding="utf-8", newline="") as file:
            table, before = csv.reader(file), 0
            if next(table, None) != HEAD:
                raise VectorsError(f"{self.listing}: damaged: its first line is not {','.join(HEAD)}")
            while block := list(islice(table, BLOCK)):
                try:
                    noted = np.asarray([[int(size), int(modified)] for _, size, modified in block], np.int64)
                except ValueError:
                    raise VectorsError(f"{self.listing}: damaged behind its line {before + 1}") from None
                here = np.empty((len(block), 0), np.float32) if z is None else np.asarray(z[before : before + len(block)])
                if len(here) < len(block):
                    raise VectorsError(f"{self.path}: damaged: fewer vectors than names")
                yield Rows([name for name, _, _ in block], noted[:, 0], noted[:, 1], here)
                before += len(block)

    @contextmanager
    def writer(self, origin: Origin) -> Iterator[Sink]:
        with whole_file(self.path) as vectors, whole_file(self.listing) as names:
            with names.open("w", encoding="utf-8", newline="") as file:
                table = csv.writer(file)
                table.writerow(HEAD)
                with self.vectors_writer(vectors, origin.latent_dim) as sink:
                    yield _Both(sink, table)
            self.about.unlink(missing_ok=True)
        write_json(self.about, asdict(origin))

    @abstractmethod
    def vectors(self) -> np.ndarray:
        """All of them, (n, D) float32. Raises VectorsError for a damaged file."""

    @abstractmethod
    def vectors_writer(self, path: Path, width: int) -> AbstractContextManager[Sink]:
        """Writes those of rows of `width` numbers to `path`."""


class _Both:
    def __init__(self, sink: Sink, table: Any) -> None:
        self._sink, self._table = sink, table

    def append(self, rows: Rows) -> None:
        self._sink.append(rows)
        self._table.writerows(zip(rows.names, rows.sizes.tolist(), rows.modified.tolist(), strict=True))
