"""Reading arrays of NumPy's .npz files block by block: those of published sets are larger than memory when unpacked."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from soda.data.sources.base import SourceError
from soda.data.sources.published.records import wanted

_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, KeyError)


@contextmanager
def _opened(path: Path, key: str) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype]]:
    with zipfile.ZipFile(wanted(path)) as file, file.open(f"{key}.npy") as member:
        version = np.lib.format.read_magic(member)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{key} is written in version {version} of the format")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(member)
        if by_columns or dtype.hasobject:
            raise ValueError(f"{key} is no plain array, row by row")
        yield member, shape, dtype


def npz_shape(path: Path, key: str) -> tuple[int, ...]:
    """The shape of an array, without reading it. Raises MissingError, SourceError naming the file."""
    try:
        with _opened(path, key) as (_, shape, _dtype):
            return shape
    except _ERRORS as error:
        raise _unreadable(path, error) from None


def npz_blocks(path: Path, key: str, rows: int) -> Iterator[np.ndarray]:
    """An array in blocks of so many rows. Raises MissingError, SourceError naming the file."""
    try:
        with _opened(path, key) as (member, shape, dtype):
            for start in range(0, shape[0], rows):
                count = min(rows, shape[0] - start)
                data = member.read(count * math.prod(shape[1:]) * dtype.itemsize)
                yield np.frombuffer(data, dtype).reshape(count, *shape[1:])
    except _ERRORS as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> SourceError:
    if isinstance(error, SourceError):
        return error
    return SourceError(f"{path}: cannot be read as the .npz file of this set ({type(error).__name__}: {error})")
