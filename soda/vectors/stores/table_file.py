"""A Parquet table or an .npz file as a store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from soda.common.files import whole_file
from soda.vectors import VectorsError
from soda.vectors.origin import Origin
from soda.vectors.store import Writer, read_noted, read_origin, require_pyarrow
from soda.vectors.stores.kinds import Rows, Sink, Store


class TableFile(Store):
    """What the other commands of `soda` read."""

    def check(self, normalize: str | None) -> None:
        super().check(normalize)
        if self.path.suffix == ".parquet":
            require_pyarrow(self.path)
        if self.path.is_dir():
            raise VectorsError(f"{self.path}: cannot be written; there is a folder of this name")

    def origin(self) -> Origin | None:
        try:
            return read_origin(self.path)
        except VectorsError:
            return None

    def rows(self, *, vectors: bool = True) -> Iterator[Rows]:
        for names, sizes, modified, z in read_noted(self.path, vectors=vectors):
            yield Rows(names, sizes, modified, z)

    @contextmanager
    def writer(self, origin: Origin) -> Iterator[Sink]:
        with whole_file(self.path) as temporary, Writer(temporary, self.path.suffix, origin) as writer:
            yield _Rows(writer)


class _Rows:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def append(self, rows: Rows) -> None:
        self._writer.append(list(rows.names), rows.z, (rows.sizes, rows.modified))
