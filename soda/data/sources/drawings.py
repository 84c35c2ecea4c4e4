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
from soda.data.sources.base import Item, SourceError, fetched_as, open_fetched, require_label
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
    """Write raw/drawings.parquet and return how many there are. `made_with`: what `read_drawings` holds its settings against."""
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


class Drawings:
    """raw/drawings.parquet, opened for reading. Raises SourceError when it is missing, damaged or made with other settings."""

    def __init__(self, raw: Path, made_with: Mapping[str, str]) -> None:
        self._file, self.factors = open_fetched(raw / DRAWINGS, made_with)

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def items(self, config: DatasetConfig) -> Iterator[Item]:
        """Every drawing; its label is the factor that `dataset.labels` names. Raises SourceError when there is no such factor."""
        require_label(config, self.factors)
        for batch in self._file.iter_batches(_BATCH):
            for row in batch.to_pylist():
                factors = {name: row[name] for name in self.factors}
                yield Item(
                    id=row["id"],
                    file=row["file"],
                    load=SvgPicture(row["svg"]),
                    label=factors.get(config.labels, ""),
                    extra={"licence": row["licence"]},
                    factors=factors,
                    group=row["group"],
                )
