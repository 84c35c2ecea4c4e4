"""Tables of latents on disk: Parquet, streamed, or .npz where pyarrow is not installed.

Four columns: `file` (`files` in .npz), relative to the folder that was embedded; `z`, float32 of a fixed length (DuckDB reads
FLOAT[]; docs/deploying.md says what others do); `size`, bytes, and `modified`, nanoseconds since 1970, of the file when it was
embedded (-1 where nobody noted it; older tables lack both). What they came from lies in the metadata of the schema under "soda"
as JSON: folder, encoder_sha256, latent_dim, normalize, z_mean, z_std, vectors (which output of the encoder they are: z or
features).
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from soda.runtime.names import printable
from soda.vectors import VectorsError
from soda.vectors.origin import Origin

SUFFIXES = (".parquet", ".npz")
DAMAGE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged .npz raises; RuntimeError of a zip that says it is encrypted or packed in an unknown way."""


@dataclass(frozen=True)
class Vectors:
    """A whole table in memory: files, and z (n, D) float32, comparable (of length 1)."""

    files: list[str]
    z: np.ndarray
    origin: Origin

    def path(self, row: int) -> Path:
        """Where the picture of a row lies."""
        return on_disk(self.origin.folder, self.files[row])


class Writer:
    """Writes a table row group by row group to `path`, whose final name decides the format. Use as a context manager."""

    def __init__(self, path: Path, suffix: str, origin: Origin) -> None:
        self._origin, self._path = origin, path
        self._parquet = _parquet_writer(path, origin) if suffix == ".parquet" else None
        self._parts: list[tuple[list[str], np.ndarray, np.ndarray]] = []

    def append(self, files: list[str], z: np.ndarray, noted: tuple[np.ndarray, np.ndarray] | None = None) -> None:
        """files: n names; z: (n, D) float32; noted: sizes and times of the files, (n,) int64 each."""
        if not files:
            return
        stamps = np.full((2, len(files)), -1) if noted is None else np.asarray(noted)
        if self._parquet is None:
            self._parts.append((files, z, stamps))
            return
        import pyarrow as pa

        flat = pa.array(np.ascontiguousarray(z, np.float32).reshape(-1))
        column = pa.FixedSizeListArray.from_arrays(flat, z.shape[1])
        names = pa.array([printable(name) for name in files], pa.string())
        columns = [names, column, pa.array(stamps[0]), pa.array(stamps[1])]
        self._parquet.write_table(pa.Table.from_arrays(columns, schema=self._parquet.schema))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._parquet is not None:
            self._parquet.close()
        elif kind is None:
            names = np.asarray([printable(name) for files, _, _ in self._parts for name in files], dtype=str)
            z = np.concatenate([np.empty((0, self._origin.latent_dim), np.float32), *(part for _, part, _ in self._parts)])
            size, modified = np.concatenate([np.empty((2, 0), np.int64), *(stamps for _, _, stamps in self._parts)], axis=1)
            about = np.asarray(json.dumps(asdict(self._origin)))
            with self._path.open("wb") as file:
                np.savez(file, files=names, z=z, size=size, modified=modified, soda=about)


def read_blocks(path: Path, origin: Origin | None = None) -> Iterator[tuple[list[str], np.ndarray]]:
    """A table a row group at a time: names and z (n, D) float32 as they were written. Raises VectorsError as `read_origin`.

    origin: of this table, where it was read already.
    """
    origin = origin or read_origin(path)
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as arrays:
                files, z = [str(name) for name in arrays["files"]], _checked(path, arrays["z"], origin)
        except DAMAGE as error:
            if isinstance(error, VectorsError):
                raise
            raise VectorsError(f"{path}: cannot be read ({error})") from None
        if len(files) != len(z):
            raise VectorsError(f"{path}: damaged: {len(files)} names, {len(z)} latents")
        yield files, z
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=["file", "z"])
                if table.num_rows:
                    yield _names(path, table["file"]), _checked(path, _matrix(path, table["z"], origin), origin)
    except (pa.ArrowException, *DAMAGE) as error:
        if isinstance(error, VectorsError):
            raise
        raise VectorsError(f"{path}: cannot be read ({error})") from None


def read_noted(path: Path, *, vectors: bool = True) -> Iterator[tuple[list[str], np.ndarray, np.ndarray, np.ndarray]]:
    """A table a row group at a time: names, sizes and times of the files, (n,) int64 each, and z (n, D), or (n, 0) without
    vectors.

    Raises VectorsError as `read_origin`, and for a table from before sizes and times were noted.
    """
    origin = read_origin(path)
    try:
        for names, size, modified, z in _npz_noted(path) if path.suffix == ".npz" else _parquet_noted(path, origin, vectors):
            if not len(names) == len(size) == len(modified) == len(z):
                raise VectorsError(f"{path}: damaged: its columns are not of one length")
            yield names, size, modified, _checked(path, z, origin) if vectors else z[:, :0]
    except VectorsError:
        raise
    except DAMAGE as error:
        raise VectorsError(f"{path}: cannot be read ({error})") from None


def _npz_noted(path: Path) -> Iterator[tuple[list[str], np.ndarray, np.ndarray, np.ndarray]]:
    with np.load(path, allow_pickle=False) as arrays:
        yield [str(name) for name in arrays["files"]], arrays["size"], arrays["modified"], arrays["z"]


def _parquet_noted(path: Path, origin: Origin, vectors: bool) -> Iterator[tuple[list[str], np.ndarray, np.ndarray, np.ndarray]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["file", "size", "modified", *(["z"] if vectors else [])])
            size, modified = (table[key].to_numpy() for key in ("size", "modified"))
            z = _matrix(path, table["z"], origin) if vectors else np.empty((len(table), 0), np.float32)
            yield _names(path, table["file"]), size, modified, z


def count_rows(path: Path) -> int:
    """How many rows a Parquet table has, without reading them; 0 of an .npz, which is read whole anyway. Raises VectorsError."""
    read_origin(path)
    if path.suffix == ".npz":
        return 0
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def comparable_blocks(path: Path, origin: Origin) -> Iterator[tuple[list[str], np.ndarray]]:
    """A table as `read_blocks` gives it, comparable. Raises VectorsError also for values that cannot be latents."""
    before = 0
    for names, z in read_blocks(path, origin):
        found = origin.comparable(z)
        odd = np.flatnonzero(~np.isfinite(found).all(1))
        if len(odd):
            raise VectorsError(f"{path}: damaged: the latent of row {before + int(odd[0])} is too large to be one")
        yield names, found
        before += len(names)


def read_vectors(path: Path) -> Vectors:
    """A whole table, comparable. Raises VectorsError for a file that is none, is damaged or holds nothing."""
    origin, files, parts = read_origin(path), [], []
    for names, z in comparable_blocks(path, origin):
        files += names
        parts.append(z)
    if not files:
        raise VectorsError(f"{path}: there is no picture in it")
    return Vectors(files, np.concatenate(parts), origin)


def read_origin(path: Path) -> Origin:
    """Where the latents of a table came from. Raises VectorsError naming the file that is no table of `soda embed`."""
    if path.suffix not in SUFFIXES:
        raise VectorsError(f"{path}: latents are read from {' or '.join(SUFFIXES)} files, or from a folder of pictures")
    if not path.is_file():
        raise VectorsError(f"{path}: no such file")
    try:
        text = _npz_metadata(path) if path.suffix == ".npz" else _parquet_metadata(path)
        origin = Origin(**json.loads(text))
        origin.check()
        return origin
    except VectorsError:
        raise
    except (TypeError, *DAMAGE) as error:
        raise VectorsError(f"{path}: not a table of `soda embed` ({type(error).__name__}: {error})") from None


def on_disk(folder: str, name: str) -> Path:
    """Where the picture of a table's `file` lies: bytes that `printable` spelt out are bytes again, if no file is called so."""
    path = Path(folder, name)
    if "\\x" in name and not path.exists():
        return Path(folder, re.sub(r"\\x([89a-f][0-9a-f])", lambda match: chr(0xDC00 + int(match[1], 16)), name))
    return path


def require_pyarrow(path: Path) -> None:
    """Raise VectorsError with the line that installs it, where pyarrow is missing."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ModuleNotFoundError:
        wanted = "pip install '.[search]' (or give an .npz file)"
        raise VectorsError(f"{path}: Parquet needs pyarrow: {wanted}") from None


def _parquet_writer(path: Path, origin: Origin) -> Any:
    require_pyarrow(path)
    import pyarrow as pa
    import pyarrow.parquet as pq

    z = pa.list_(pa.float32(), origin.latent_dim)
    schema = pa.schema({"file": pa.string(), "z": z, "size": pa.int64(), "modified": pa.int64()})
    described = schema.with_metadata({"soda": json.dumps(asdict(origin))})
    return pq.ParquetWriter(path, described, compression="zstd", use_dictionary=False)  # no value repeats: four times as fast


def _parquet_metadata(path: Path) -> str:
    require_pyarrow(path)
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
    except pa.ArrowException as error:
        raise VectorsError(f"{path}: not a Parquet file ({error})") from None
    return metadata[b"soda"].decode()


def _npz_metadata(path: Path) -> str:
    with np.load(path, allow_pickle=False) as arrays:
        return str(arrays["soda"])


def _names(path: Path, column: Any) -> list[str]:
    """Of a column of a Parquet table, which other programs may have written anew."""
    import pyarrow as pa

    if column.null_count or not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise VectorsError(f"{path}: its column file is {column.type} with {column.null_count} nulls; it must be names alone")
    names: list[str] = column.to_pylist()
    return names


def _matrix(path: Path, column: Any, origin: Origin) -> np.ndarray:
    """Lists of numbers as (n, D), each of which has to be whole: too few in one row would shift all that follow."""
    import pyarrow as pa
    import pyarrow.compute as pc

    z = column.combine_chunks()
    z = z.chunk(0) if isinstance(z, pa.ChunkedArray) else z
    if not (pa.types.is_list(z.type) or pa.types.is_large_list(z.type) or pa.types.is_fixed_size_list(z.type)):
        raise VectorsError(f"{path}: its column z is {z.type}, not a list of numbers")
    lengths = pc.fill_null(pc.list_value_length(z), 0).to_numpy(zero_copy_only=False)
    odd = np.flatnonzero(lengths != origin.latent_dim)
    if len(odd):
        raise VectorsError(
            f"{path}: damaged: a latent of {lengths[odd[0]]} numbers, not {origin.latent_dim}, the first of {len(odd)}"
        )
    flat: np.ndarray = z.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, origin.latent_dim)


def _checked(path: Path, z: np.ndarray, origin: Origin) -> np.ndarray:
    if z.ndim != 2 or z.shape[1] != origin.latent_dim or z.dtype.kind not in "fiu" or not np.isfinite(z).all():
        raise VectorsError(f"{path}: its latents are not all {origin.latent_dim} finite numbers")
    return z.astype(np.float32, copy=False)
