"""A table of LanceDB in a folder: columns file, size, modified and vector."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np

from soda.common.errors import NotInstalledError
from soda.vectors import VectorsError
from soda.vectors.origin import Origin
from soda.vectors.store import DAMAGE
from soda.vectors.stores.kinds import BLOCK, Changes, Database, Rows, Sink


class LanceTable(Database):
    """Search it with `.distance_type("cosine")`. Its schema's metadata holds the origin under "soda", as in Parquet."""

    def check(self, normalize: str | None) -> None:
        super().check(normalize)
        _lancedb()
        table = self._open(self.table)
        if table is not None and b"soda" not in (table.schema.metadata or {}):
            raise self.refuse_strange()

    def origin(self) -> Origin | None:
        table = self._open(self.table)
        try:
            origin = Origin(**json.loads(table.schema.metadata[b"soda"])) if table is not None else None
            if origin is not None:
                origin.check()
            return origin
        except (TypeError, *DAMAGE):
            return None

    def rows(self, *, vectors: bool = True) -> Iterator[Rows]:
        table = self._open(self.table)
        if table is None:
            raise VectorsError(f"{self.folder}: there is no table {self.table} in it")
        columns = ["file", "size", "modified", *(["vector"] if vectors else [])]
        for batch in table.search().select(columns).limit(None).to_batches():
            names = batch["file"].to_pylist()
            sizes, modified = (batch[key].to_numpy(zero_copy_only=False) for key in ("size", "modified"))
            z = batch["vector"].flatten().to_numpy(zero_copy_only=False) if vectors else np.empty(0, np.float32)
            yield Rows(names, sizes, modified, z.reshape(len(names), -1 if vectors else 0))

    @contextmanager
    def writer(self, origin: Origin) -> Iterator[Sink]:
        import pyarrow as pa

        vector = pa.list_(pa.float32(), origin.latent_dim)
        schema = pa.schema({"file": pa.string(), "size": pa.int64(), "modified": pa.int64(), "vector": vector})
        schema = schema.with_metadata({"soda": json.dumps(asdict(origin))})
        sink = _Changed(self._database().create_table(self.table, schema=schema, mode="overwrite"))
        yield sink

    @contextmanager
    def changes(self, origin: Origin) -> Iterator[Changes]:
        yield _Changed(self._open(self.table))

    def _database(self) -> Any:
        self.folder.mkdir(parents=True, exist_ok=True)
        return _lancedb().connect(str(self.folder))

    def _open(self, name: str) -> Any:
        """The table of this name, None where there is none."""
        return self._database().open_table(name) if (self.folder / f"{name}.lance").is_dir() else None


class _Changed:
    def __init__(self, table: Any) -> None:
        self._table = table

    def append(self, rows: Rows) -> None:
        import pyarrow as pa

        flat = pa.array(np.ascontiguousarray(rows.z, np.float32).reshape(-1))
        columns = [pa.array(list(rows.names), pa.string()), pa.array(rows.sizes), pa.array(rows.modified)]
        columns.append(pa.FixedSizeListArray.from_arrays(flat, rows.z.shape[1]))
        self._table.add(pa.Table.from_arrays(columns, schema=self._table.schema))

    def remove(self, names: Sequence[str]) -> None:
        for start in range(0, len(names), BLOCK):
            quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in names[start : start + BLOCK])
            self._table.delete(f"file IN ({quoted})")


def _lancedb() -> Any:
    try:
        import lancedb
    except ModuleNotFoundError:
        raise NotInstalledError("lancedb: needs LanceDB: pip install '.[stores]'", name="lancedb") from None
    return lancedb
