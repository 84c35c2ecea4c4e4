"""A plain .npy array, which anything reads, and can map into memory; names in the .csv beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from soda.vectors import VectorsError
from soda.vectors.store import DAMAGE
from soda.vectors.stores.beside import Beside
from soda.vectors.stores.kinds import Rows, Sink


class ArrayFile(Beside):
    """float32 (n, D). Row i is of the picture in line i of the .csv, its head not counted."""

    def vectors(self) -> np.ndarray:
        try:
            return np.load(self.path, mmap_mode="r", allow_pickle=False)
        except DAMAGE as error:
            raise VectorsError(f"{self.path}: cannot be read ({error})") from None

    @contextmanager
    def vectors_writer(self, path: Path, width: int) -> Iterator[Sink]:
        with path.open("wb") as file:
            sink = _Appended(file, width)
            yield sink
            sink.finish()


class _Appended:
    """Rows behind a header that says at the end how many they are: NumPy leaves room in it for any number."""

    def __init__(self, file: IO[bytes], width: int) -> None:
        self._file, self._width, self._count = file, width, 0
        self._header()

    def append(self, rows: Rows) -> None:
        self._file.write(np.ascontiguousarray(rows.z, "<f4").tobytes())
        self._count += len(rows)

    def finish(self) -> None:
        self._file.seek(0)
        self._header()

    def _header(self) -> None:
        about = {"descr": "<f4", "fortran_order": False, "shape": (self._count, self._width)}
        np.lib.format.write_array_header_1_0(self._file, about)
