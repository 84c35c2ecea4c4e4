"""Columns of the manifest, read a piece at a time, so that what is held is what is asked for: never a Python object a picture."""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from soda.common.errors import SodaError

PIECE = 1 << 16
"""Rows that are read at once."""


class DatasetError(SodaError, ValueError):
    """Prepared data that is missing or not what its summary says; the message names the file."""


def read_pieces(manifest: Path, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(number of its first row, some rows) of these columns, in order.

    Raises DatasetError for a manifest that cannot be read, and for a column that it does not have.
    """
    try:
        with pq.ParquetFile(manifest) as file:
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise DatasetError(f"{manifest}: no column {missing[0]!r}; there are {', '.join(file.schema_arrow.names)}")
            start = 0
            for batch in file.iter_batches(PIECE, columns=list(columns)):
                yield start, batch
                start += len(batch)
    except FileNotFoundError:
        raise DatasetError(f"{manifest}: no such file; prepare the data first") from None
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{manifest}: cannot be read ({error})") from None


def is_text(kind: pa.DataType) -> bool:
    """Whether a column is of strings, coded or not."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)


def values(column: pa.Array) -> np.ndarray:
    """Some rows of a column: (n,) str, "" where there is none, or a number type."""
    if is_text(column.type):
        return np.asarray([value or "" for value in column.to_pylist()], dtype=str)
    found: np.ndarray = column.to_numpy(zero_copy_only=False)
    return found


def joined(pieces: Iterable[np.ndarray]) -> np.ndarray:
    """The pieces one after another; of none an empty array of str."""
    every = list(pieces)
    return np.concatenate(every) if every else np.empty(0, str)


def indices(found: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Where each value is in the sorted `names`, -1 where it is not: (n,) int64."""
    known = np.asarray(names, dtype=str)
    if not len(known):
        return np.full(len(found), -1, np.int64)
    places = np.searchsorted(known, found)
    places[places == len(known)] = 0
    return np.where(known[places] == found, places, -1).astype(np.int64)


def words_and_codes(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values of some rows as str, (w,), "" among them, and which of them each row has, (n,) int64."""
    if not is_text(column.type):
        words, codes = np.unique(values(column).astype(str), return_inverse=True)
        return words, codes.astype(np.int64)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    words = np.asarray([*(word or "" for word in column.dictionary.to_pylist()), ""], dtype=str)
    codes = column.indices.cast(pa.int64()).fill_null(len(words) - 1).to_numpy(zero_copy_only=False)
    return words, codes


class Coded:
    """A column as numbers: add pieces, then ask for the sorted distinct values and the number of each row."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}  # of the distinct values, as they came
        self._codes: list[np.ndarray] = []

    def add(self, column: pa.Array) -> None:
        words, codes = words_and_codes(column)
        numbers = np.full(len(words), -1, np.int32)
        for used in np.unique(codes):
            numbers[used] = self._numbers.setdefault(str(words[used]), len(self._numbers))
        self._codes.append(numbers[codes])

    def done(self) -> tuple[list[str], np.ndarray]:
        """(distinct values, sorted; (n,) int32, which of them each row has)."""
        names = sorted(self._numbers)
        places = np.empty(len(names), np.int32)
        for place, name in enumerate(names):
            places[self._numbers[name]] = place
        return names, places[np.concatenate(self._codes)] if self._codes else np.empty(0, np.int32)


def digests(column: pa.Array) -> np.ndarray:
    """SHA-256 in hex as 32 bytes each, (n,) "S32": equal where the strings are, and in their order.

    Any other strings become the SHA-256 of themselves.
    """
    texts = column.to_pylist()
    try:
        if any(text is None or len(text) != 64 for text in texts):
            raise ValueError
        return np.frombuffer(binascii.unhexlify("".join(texts)), "S32")
    except ValueError:  # binascii's own is one
        return np.asarray([hashlib.sha256((text or "").encode()).digest() for text in texts], dtype="S32")
