"""A Faiss index: exact, by inner product, which is the cosine of vectors of length 1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from soda.common.errors import NotInstalledError
from soda.vectors import VectorsError
from soda.vectors.stores.beside import Beside
from soda.vectors.stores.kinds import Rows, Sink


class FaissIndex(Beside):
    """IndexFlatIP. Number i is of the picture in line i of the .csv, its head not counted."""

    by_cosine = True

    def check(self, normalize: str | None) -> None:
        super().check(normalize)
        _faiss()

    def vectors(self) -> np.ndarray:
        faiss = _faiss()
        try:
            index = faiss.read_index(str(self.path))
            return index.reconstruct_n(0, index.ntotal)
        except RuntimeError as error:
            raise VectorsError(f"{self.path}: cannot be read ({str(error).splitlines()[0]})") from None

    @contextmanager
    def vectors_writer(self, path: Path, width: int) -> Iterator[Sink]:
        faiss = _faiss()
        index = faiss.IndexFlatIP(width)
        yield _Added(index)
        faiss.write_index(index, str(path))


class _Added:
    def __init__(self, index: Any) -> None:
        self._index = index

    def append(self, rows: Rows) -> None:
        self._index.add(np.ascontiguousarray(rows.z, np.float32))


def _faiss() -> Any:
    try:
        import faiss
    except ModuleNotFoundError:
        raise NotInstalledError("a .faiss index needs Faiss: pip install '.[stores]'", name="faiss") from None
    return faiss
