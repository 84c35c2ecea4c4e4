"""Sets that are drawn from a grid of factors, every image known by its cell: `shapes3d_like`, `dsprites_like`.

`dataset.path` is a YAML file that says how many cells are drawn, evenly and each once; all of them where it is their number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from soda.config import DatasetConfig
from soda.config.validated import Count
from soda.config.validated import settings as described
from soda.data.sources.base import Item, Opened, SourceError, fetched_as, open_fetched, read_described, require_label
from soda.data.sources.places import made_with

TABLE = "cells.parquet"
_BATCH = 5000

Draw = Callable[[tuple[int, ...], int], np.ndarray]
"""(the value of each factor, image side) -> (side, side, 3) or (side, side) uint8; at the top of a module, for the workers."""


@described("")
class GridPlan:
    """What `dataset.path` says."""

    images: Count


@dataclass(frozen=True, slots=True)
class Cell:
    """Draws one cell of a grid at the size that is asked for, so that nothing is resized."""

    draw: Draw
    values: tuple[int, ...]

    def __call__(self, settings: DatasetConfig) -> Image.Image:
        return Image.fromarray(self.draw(self.values, settings.image_size))


@dataclass(frozen=True)
class Grid:
    """A source of images by the product of its factors. factors: name -> its values in words, in the order of `draw`."""

    about: str
    factors: Mapping[str, Sequence[str]]
    draw: Draw

    @property
    def cells(self) -> int:
        """How many there are."""
        return math.prod(len(values) for values in self.factors.values())

    def origin(self, config: DatasetConfig) -> str:
        return f"{self.about}; {_plan(config).images:,} of {self.cells:,} cells, seed {config.seed}"

    def fetch(self, config: DatasetConfig, raw: Path, earlier: Path) -> dict[str, Any]:
        """Choose the cells. Raises SourceError when more are asked for than there are."""
        wanted = _plan(config).images
        if wanted > self.cells:
            raise SourceError(f"{config.path}: images is {wanted:,}; {config.name} has {self.cells:,} cells")
        chosen = np.random.default_rng(config.seed).choice(self.cells, wanted, replace=False)
        table = pa.table({"cell": np.sort(chosen)}).replace_schema_metadata(
            fetched_as(made_with(config, "seed"), [*self.factors])
        )
        pq.write_table(table, raw / TABLE, compression="zstd")
        return {"images": wanted, "cells": self.cells}

    def opened(self, config: DatasetConfig, raw: Path) -> Opened:
        """The chosen cells in the order of the grid. Raises SourceError when `raw` was made with another plan or seed."""
        require_label(config, tuple(self.factors))
        table, _ = open_fetched(raw / TABLE, made_with(config, "seed"))
        sizes = [len(values) for values in self.factors.values()]

        def items() -> Iterator[Item]:
            for batch in table.iter_batches(_BATCH):
                cells = batch.column("cell").to_numpy()
                for cell, values in zip(cells.tolist(), np.stack(np.unravel_index(cells, sizes), 1).tolist(), strict=True):
                    factors = {name: words[k] for (name, words), k in zip(self.factors.items(), values, strict=True)}
                    load = Cell(self.draw, tuple(values))
                    label = factors.get(config.labels, "")
                    yield Item(f"cell-{cell:06d}", f"{config.name}#{cell}", load, label, factors=factors)

        return Opened(tuple(self.factors), int(table.metadata.num_rows), items)


def _plan(config: DatasetConfig) -> GridPlan:
    return read_described(Path(config.path), GridPlan)
