"""Pictures in Parquet files as Hugging Face datasets keep them: a column {bytes, path}, or of bytes, and a column of labels.

`dataset.path` is a folder of .parquet files, or one of them: a data set's own repository, its data/ folder.
`dataset.csv_label_column` names the column of labels; numbers get the names that the file's own description gives them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from soda.config import DatasetConfig
from soda.data.sources.base import Opened, SourceError
from soda.data.sources.packed import LARGEST, Inventory, Read, fetch_packed, open_packed

COLUMNS: Mapping[str, pa.DataType] = {}
LICENCE = "the owner's"
USUAL = ("image", "img", "jpg", "png", "picture")
"""Names of a column of pictures, where several could be one."""
MOST_OF_GROUP = 4 << 30
"""Bytes of the pictures of one row group, unpacked; a group is in memory as a whole."""
_BATCH = 256  # rows of a file that are read at once


def origin(config: DatasetConfig) -> str:
    return f"Parquet {Path(config.path).name}"


def fetch(config: DatasetConfig, raw: Path, earlier: Path) -> dict[str, Any]:
    """Write the inventory. Raises SourceError for a folder without Parquet files, and for one without a column of pictures."""
    if config.labels not in ("auto", "none"):
        raise SourceError(
            f"dataset.labels: {config.labels!r} is not possible for parquet; it must be auto or none, and "
            "dataset.csv_label_column the column"
        )
    return fetch_packed(config, raw, ".parquet", partial(_add, config), empty="its Parquet files have no rows")


def opened(config: DatasetConfig, raw: Path) -> Opened:
    """Every picture, file by file. Raises SourceError when there is no inventory, or one made with other settings."""
    return open_packed(config, raw, _reader_of)


def _reader_of(file: Path) -> Read:
    if not file.is_file():
        raise SourceError(f"{file}: it was there when the data was fetched; fetch again")
    return partial(_bytes_in_table, picture_column(file))


def picture_column(file: Path) -> str:
    """The column that holds pictures. Raises SourceError where there is none, or several and none of a usual name."""
    schema = _opened(file).schema_arrow
    found = [field.name for field in schema if _holds_bytes(field.type)]
    usual = [name for name in USUAL if name in found]
    if len(found) == 1 or usual:
        return usual[0] if usual else found[0]
    what = f"several ({', '.join(found)}), none of them called {' or '.join(USUAL)}" if found else "none"
    raise SourceError(f"{file}: of its columns {', '.join(schema.names)} those of bytes may be pictures, and there is {what}")


def bytes_at(column: pa.ChunkedArray, row: int) -> bytes:
    """The bytes of a picture, b"" where the row has none. Raises SourceError for more than LARGEST."""
    value = column[row]
    content = value["bytes"] if isinstance(value, pa.StructScalar) and value.is_valid else value
    buffer = content.as_buffer() if content.is_valid else None
    if buffer is not None and buffer.size > LARGEST:
        raise SourceError(f"row {row} has a picture of {buffer.size:,} bytes, of at most {LARGEST:,}; save it smaller")
    return b"" if buffer is None else buffer.to_pybytes()


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _opened(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{file}: no Parquet file that can be read ({error})") from None


def _add(config: DatasetConfig, file: Path, name: str, inventory: Inventory) -> None:
    table, column = _opened(file), picture_column(file)
    label = config.csv_label_column if config.labels == "auto" and config.csv_label_column in table.schema_arrow.names else ""
    names = label_names(table.schema_arrow, label)
    for group in range(table.num_row_groups):
        _require_moderate(table, file, group, column)
        row = 0
        for batch in table.iter_batches(_BATCH, row_groups=[group], columns=[column, *([label] if label else [])]):
            pictures = pa.chunked_array([batch[column]])
            labels = batch[label].to_pylist() if label else [None] * len(batch)
            for place, value in enumerate(labels):
                try:
                    content = bytes_at(pictures, place)
                except SourceError as error:
                    raise SourceError(f"{file}: row group {group}, {error}") from None
                inventory.add(
                    id=f"{name}:{group}.{row}",
                    file=name,
                    part=group,
                    place=row,
                    content=content,
                    label="" if value is None else names.get(value, str(value)),
                )
                row += 1


def _require_moderate(table: pq.ParquetFile, file: Path, group: int, column: str) -> None:
    """Before anything of it is unpacked: by what the file says of itself."""
    about = table.metadata.row_group(group)
    parts = [about.column(number) for number in range(about.num_columns)]
    size = sum(part.total_uncompressed_size for part in parts if part.path_in_schema.split(".")[0] == column)
    if size > MOST_OF_GROUP:
        raise SourceError(
            f"{file}: its row group {group} unpacks to {size:,} bytes of {column}, of at most {MOST_OF_GROUP:,}; "
            "write it with smaller row groups"
        )


def label_names(schema: pa.Schema, column: str) -> dict[Any, str]:
    """Names of numbered labels, as Hugging Face's `datasets` writes them beside the schema; none where it says nothing."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return dict(enumerate(str(name) for name in features[column]["names"]))
    except (KeyError, ValueError, TypeError):
        return {}


def _bytes_in_table(column: str, path: Path, group: int, row: int) -> bytes:
    return bytes_at(_row_group(path, group, column), row)


@lru_cache(maxsize=2)  # pictures are asked for in order: the one that is read from, and the next
def _row_group(path: Path, group: int, column: str) -> pa.ChunkedArray:
    return pq.ParquetFile(path).read_row_group(group, columns=[column])[column]
