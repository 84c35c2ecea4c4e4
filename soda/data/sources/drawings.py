"""Pictures that are drawn: `fetch` leaves them as SVG in raw/drawings.parquet, preparation paints them at the size it prepares.

So one fetch serves every size, and the painting is spread over the workers like any other decoding.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from soda.config import DatasetConfig
from soda.data.sources.base import Item, Opened, SourceError, fetched_as, open_fetched, require_label
from soda.runtime.preprocess import PictureError

DRAWINGS = "drawings.parquet"
COLUMNS: Mapping[str, pa.DataType] = {"licence": pa.string()}
"""The manifest's own column of drawn sets: they bring pictures of several licences together."""
_FIELDS = ("id", "file", "svg", "licence", "group")
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Drawing:
    """One picture before it is painted."""

    id: str
    file: str  # where it comes from, for a person
    svg: str
    licence: str  # SPDX where there is one
    factors: Mapping[str, str] = field(default_factory=dict)
    group: str = ""  # see Item


@dataclass(frozen=True, slots=True)
class SvgPicture:
    """Paints one SVG square at the prepared size, what is not painted being transparent. Loads no font: text must be paths."""

    svg: str

    def __call__(self, settings: DatasetConfig) -> Image.Image:
        paint = _resvg()
        try:
            png = paint(svg_string=self.svg, width=settings.image_size, height=settings.image_size, skip_system_fonts=True)
        except ValueError as error:
            raise PictureError(f"resvg cannot paint it ({error})") from None
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            image.load()
            return image


def _resvg():  # type: ignore[no-untyped-def]
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise SourceError("painting SVG needs resvg: pip install '.[drawings]'") from None
    return svg_to_bytes


def write_drawings(raw: Path, drawings: Iterable[Drawing], factors: Sequence[str], made_with: Mapping[str, str]) -> int:
    """Write raw/drawings.parquet and return how many there are. `made_with`: what `open_drawings` holds its settings against."""
    schema = pa.schema([(name, pa.string()) for name in (*_FIELDS, *factors)]).with_metadata(fetched_as(made_with, factors))
    rows: list[dict[str, str]] = []
    total = 0
    with pq.ParquetWriter(raw / DRAWINGS, schema, compression="zstd") as writer:
        for drawing in drawings:
            rows.append({name: getattr(drawing, name) for name in _FIELDS} | {name: drawing.factors[name] for name in factors})
            total += 1
            if len(rows) == _BATCH:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return total


def open_drawings(config: DatasetConfig, raw: Path, made_with: Mapping[str, str]) -> Opened:
    """raw/drawings.parquet, the label of each drawing being the factor that `dataset.labels` names.

    Raises SourceError when the file is missing, damaged or made with other settings, and when there is no such factor.
    """
    table, names = open_fetched(raw / DRAWINGS, made_with)
    require_label(config, names)

    def items() -> Iterator[Item]:
        for batch in table.iter_batches(_BATCH):
            for row in batch.to_pylist():
                factors = {name: row[name] for name in names}
                yield Item(
                    id=row["id"],
                    file=row["file"],
                    load=SvgPicture(row["svg"]),
                    label=factors.get(config.labels, ""),
                    extra={"licence": row["licence"]},
                    factors=factors,
                    group=row["group"],
                )

    return Opened(names, int(table.metadata.num_rows), items)
