"""Meshes as `fetch` leaves them: raw/meshes.bin, one after the other, and raw/objects.parquet, which says what and where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from soda.config import DatasetConfig
from soda.data.columns import MODEL, OBJECT
from soda.data.pixels import ChangedError
from soda.data.rendering.mesh import MeshError, unpack
from soda.data.rendering.views import Draw, drawer, picture
from soda.data.sources.base import Item, Opened, SourceError, fetched_as, open_fetched, require_label, split_of
from soda.data.sources.objects.plan import Plan
from soda.data.sources.objects.variation import Variant, draw_variant
from soda.geometry.cameras import COLUMNS as CAMERA_COLUMNS
from soda.geometry.cameras import Camera
from soda.runtime.preprocess import PictureError

OBJECTS, MESHES = "objects.parquet", "meshes.bin"
COLUMNS: Mapping[str, pa.DataType] = {
    **{name: pa.string() for name in ("name", "author", "licence", "variant")},
    **{name: pa.float64() for name in CAMERA_COLUMNS},
}
"""The manifest's own columns of rendered objects; `variant` says what was done to the object, "" for nothing."""
_TEXT = ("id", "name", "author", "licence", "file")


@dataclass(frozen=True)
class Stored:
    """One object before it is stored. `mesh`: what `pack` gave, of a normalised mesh."""

    id: str
    name: str
    author: str
    licence: str
    file: str  # where it comes from, for a person
    mesh: bytes
    factors: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ObjectView:
    """Draws one view of one object. The mesh is kept until another one is wanted, so views of one object belong together."""

    meshes: Path
    offset: int
    length: int
    variant: Variant
    camera: Camera
    renderer: str
    min_cover: float

    def __call__(self, settings: DatasetConfig) -> Image.Image:
        draw = _drawer(self.meshes, self.offset, self.length, self.variant, self.renderer)
        pixels, cover = picture(draw, self.camera, settings.image_size)
        if cover < self.min_cover:
            raise PictureError(
                f"nearly nothing to see: the object covers {cover:.2%} of the picture, min_cover is {self.min_cover:.2%}"
            )
        return Image.fromarray(pixels)


@lru_cache(maxsize=1)
def _drawer(meshes: Path, offset: int, length: int, variant: Variant, renderer: str) -> Draw:
    with meshes.open("rb") as file:
        file.seek(offset)
        data = file.read(length)
    try:
        return drawer(variant.apply(unpack(data)), renderer)
    except MeshError as error:
        raise ChangedError(f"{meshes}, from byte {offset}: the mesh {error}; fetch again") from None


def write_objects(raw: Path, objects: Iterable[Stored], factors: Sequence[str], made: Mapping[str, str]) -> int:
    """Write both files and return how many objects there are."""
    rows: list[dict[str, Any]] = []
    with (raw / MESHES).open("wb") as file:
        for each in objects:
            row: dict[str, Any] = {name: getattr(each, name) for name in _TEXT} | {name: each.factors[name] for name in factors}
            rows.append(row | {"offset": file.tell(), "length": len(each.mesh)})
            file.write(each.mesh)
    schema = pa.schema(
        [(name, pa.string()) for name in (*_TEXT, *factors)] + [(name, pa.int64()) for name in ("offset", "length")]
    ).with_metadata(fetched_as(made, factors))
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), raw / OBJECTS, compression="zstd")
    return len(rows)


class Objects:
    """The stored objects, opened for reading. Raises SourceError when they are missing, damaged or made with other settings."""

    def __init__(self, raw: Path, made: Mapping[str, str]) -> None:
        self.meshes = raw / MESHES
        table, self._own = open_fetched(raw / OBJECTS, made)
        try:
            with table:
                self._rows = table.read().to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{raw / OBJECTS}: cannot be read ({error}); fetch the data again") from None
        size = self.meshes.stat().st_size if self.meshes.is_file() else 0
        if any(row["offset"] + row["length"] > size for row in self._rows):
            raise SourceError(f"{self.meshes}: it is shorter than {raw / OBJECTS} says; fetch the data again")

    def opened(self, config: DatasetConfig, plan: Plan, renderer: str) -> Opened:
        """Every view of every object, the views of one after the other. Raises SourceError for a label that there is none of."""
        require_label(config, self._own)
        count = sum(views for row in self._rows for _, _, views in _seen(row["id"], config, plan))
        return Opened((*self._own, MODEL, OBJECT), count, partial(self._items, config, plan, renderer))

    def _items(self, config: DatasetConfig, plan: Plan, renderer: str) -> Iterator[Item]:
        for row in self._rows:
            known = {name: row[name] for name in self._own} | {MODEL: row["id"]}
            described = {name: row[name] for name in ("name", "author", "licence")}
            for name, variant, views in _seen(row["id"], config, plan):
                factors = known | {OBJECT: name}
                for number, camera in enumerate(plan.cameras(config.seed, name, views)):
                    yield Item(
                        id=f"{name}-{number:03d}",
                        file=f"{row['file']}#{name}-{number:03d}",
                        load=ObjectView(self.meshes, row["offset"], row["length"], variant, camera, renderer, plan.min_cover),
                        label=factors.get(config.labels, ""),
                        extra=described | {"variant": variant.text} | camera.columns,
                        factors=factors,
                        group=row["id"],
                    )


def _seen(model: str, config: DatasetConfig, plan: Plan) -> Iterator[tuple[str, Variant, int]]:
    """(object, what was done to the model, number of views): the model, and where it is trained on its variants."""
    yield model, Variant(), plan.views
    if plan.variants and split_of(None, model, config) == "train":
        for number in range(1, plan.variants + 1):
            name = f"{model}~{number}"
            yield name, draw_variant(plan, config.seed, name), plan.variant_views
