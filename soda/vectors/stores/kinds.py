"""What every store can do: say what is in it, be written anew, and, where it is a database, be changed in place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from soda.vectors import VectorsError
from soda.vectors.origin import Origin

BLOCK = 1024
"""Rows that are written or read at once."""


@dataclass(frozen=True)
class Rows:
    """names: n, relative to the folder, valid Unicode; sizes: bytes, and modified: nanoseconds since 1970, of the files when they
    were embedded, (n,) int64, -1 where nobody noted them; z: (n, D) float32."""

    names: Sequence[str]
    sizes: np.ndarray
    modified: np.ndarray
    z: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def where(self, chosen: np.ndarray) -> Rows:
        """Those rows that are True in chosen (n,)."""
        names = [name for name, wanted in zip(self.names, chosen, strict=True) if wanted]
        return Rows(names, self.sizes[chosen], self.modified[chosen], self.z[chosen])


class Sink(Protocol):
    """Takes rows in the order of their names."""

    def append(self, rows: Rows) -> None: ...


class Changes(Sink, Protocol):
    """Takes what changed of a database."""

    def remove(self, names: Sequence[str]) -> None: ...


class Store(ABC):
    """One output of `soda embed`. path: what its parts and its list of unreadable pictures are called after, and lie beside."""

    by_cosine: ClassVar[bool] = False
    """Whether others search in it by cosine: it then takes vectors of length 1 alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def rejects(self) -> Path:
        """The list of the pictures that could not be read."""
        return self.path.with_name(f"{self.path.name}.skipped.csv")

    def check(self, normalize: str | None) -> None:
        """Before any work. Raises VectorsError for what cannot be written, naming it, or the package that it wants."""
        if self.by_cosine and normalize not in ("l2", "stats+l2"):
            raise VectorsError(
                f"{self.path}: it is searched by cosine, and takes vectors of length 1: --normalize stats+l2 or l2"
            )

    @abstractmethod
    def origin(self) -> Origin | None:
        """Of what is in it; None for nothing, and for what cannot be read."""

    @abstractmethod
    def rows(self, *, vectors: bool = True) -> Iterator[Rows]:
        """What is in it, a block at a time; without vectors z is (n, 0). Raises VectorsError for what is damaged."""

    @abstractmethod
    def writer(self, origin: Origin) -> AbstractContextManager[Sink]:
        """Takes all rows anew. A file that was there stays until it ends well. A database is written in place: what was there is
        gone from the start, and a run that is broken off leaves a part, to which the next one adds what is missing."""


class Database(Store):
    """A store of which single rows can be changed."""

    by_cosine = True

    def __init__(self, folder: Path, table: str) -> None:
        super().__init__(folder.with_name(folder.name + ("" if table == DEFAULT_TABLE else f"#{table}")))
        self.folder, self.table = folder, table

    def check(self, normalize: str | None) -> None:
        super().check(normalize)
        if self.folder.exists() and not self.folder.is_dir():
            raise VectorsError(f"{self.folder}: cannot be written; a database is a folder, and this is a file")

    @abstractmethod
    def changes(self, origin: Origin) -> AbstractContextManager[Changes]:
        """Takes what changed since; what is not named stays as it is."""

    def refuse_strange(self) -> VectorsError:
        """The error about a table of this name that somebody else made."""
        return VectorsError(
            f"{self.folder}: its table {self.table} was not made by `soda embed`; name another one behind the folder: "
            f"{self.folder.name}#pictures"
        )


DEFAULT_TABLE = "vectors"
