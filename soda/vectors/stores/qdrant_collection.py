"""A collection of Qdrant in a folder, in the mode that needs no server; payload: file, size and modified.

One program at a time can have the folder open. Points are called by a UUID made of the file's name.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np

from soda.common.errors import NotInstalledError
from soda.vectors import VectorsError
from soda.vectors.origin import Origin
from soda.vectors.stores.kinds import BLOCK, Changes, Database, Rows, Sink

NAMES = uuid.UUID("0b4f6f0e-6f5e-5c0b-9a53-50da50da50da")


class QdrantCollection(Database):
    """Compared by cosine. The collection's metadata holds the origin under "soda"."""

    def check(self, normalize: str | None) -> None:
        super().check(normalize)
        _qdrant()
        if self._has() and self._about() is None:
            raise self.refuse_strange()

    def origin(self) -> Origin | None:
        about = self._about() if self._has() else None
        try:
            origin = Origin(**about) if about else None
            if origin is not None:
                origin.check()
            return origin
        except (TypeError, ValueError):
            return None

    def rows(self, *, vectors: bool = True) -> Iterator[Rows]:
        with self._client() as client:
            place: Any = None
            while True:
                points, place = client.scroll(self.table, limit=BLOCK, offset=place, with_payload=True, with_vectors=vectors)
                payloads = [point.payload for point in points]
                z = (
                    np.asarray([point.vector for point in points], np.float32)
                    if vectors
                    else np.empty((len(points), 0), np.float32)
                )
                noted = np.asarray([[each["size"], each["modified"]] for each in payloads], np.int64).reshape(-1, 2)
                yield Rows([each["file"] for each in payloads], noted[:, 0], noted[:, 1], z)
                if place is None:
                    return

    @contextmanager
    def writer(self, origin: Origin) -> Iterator[Sink]:
        models = _qdrant().models
        with self._client() as client:
            client.delete_collection(self.table)
            form = models.VectorParams(size=origin.latent_dim, distance=models.Distance.COSINE)
            client.create_collection(self.table, vectors_config=form, metadata={"soda": asdict(origin)})
            yield _Points(client, self.table)

    @contextmanager
    def changes(self, origin: Origin) -> Iterator[Changes]:
        with self._client() as client:
            yield _Points(client, self.table)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """The folder, open. Raises VectorsError while another program has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            client = _qdrant().QdrantClient(path=str(self.folder))
        except RuntimeError as error:
            raise VectorsError(f"{self.folder}: cannot be opened ({str(error).splitlines()[0]})") from None
        try:
            yield client
        finally:
            client.close()

    def _has(self) -> bool:
        return (self.folder / "collection" / self.table).is_dir()

    def _about(self) -> Any:
        with self._client() as client:
            return (client.get_collection(self.table).config.metadata or {}).get("soda")


class _Points:
    def __init__(self, client: Any, table: str) -> None:
        self._client, self._table = client, table

    def append(self, rows: Rows) -> None:
        noted = zip(rows.names, rows.sizes.tolist(), rows.modified.tolist(), strict=True)
        payloads = [{"file": name, "size": size, "modified": modified} for name, size, modified in noted]
        batch = _qdrant().models.Batch(ids=_ids(rows.names), vectors=rows.z.tolist(), payloads=payloads)
        self._client.upsert(self._table, points=batch)

    def remove(self, names: Sequence[str]) -> None:
        for start in range(0, len(names), BLOCK):
            points = _qdrant().models.PointIdsList(points=_ids(names[start : start + BLOCK]))
            self._client.delete(self._table, points_selector=points)


def _ids(names: Sequence[str]) -> list[str]:
    return [str(uuid.uuid5(NAMES, name)) for name in names]


def _qdrant() -> Any:
    try:
        import qdrant_client
    except ModuleNotFoundError:
        raise NotInstalledError("qdrant: needs qdrant-client: pip install '.[stores]'", name="qdrant_client") from None
    return qdrant_client
