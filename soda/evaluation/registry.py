"""The register of measures: what each figure is called, how it is printed, which way is better, and what stands beside it.

One file of `measures/` declares one `Measure` and computes it. Whatever shows figures (report, gallery, card, the pages in
Prefect, the table of the README) iterates the register and knows no key by name; a key that no measure declares is an error.
Importing the register and all that is declared in it loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Quantity:
    """One figure of a measure.

    key: dotted, below the measure's own; `*` stands for one name or a part of one (`by_factor.*.linear_top1`, `psnr@*`).
    format: of str.format, with the unit (`{:.1f} dB`, `{:.1%}`). baselines: (key, title) of what stands beside it, in the same
    measure. headline: what it is called among the first figures that a reader sees; empty where it is not among them.
    """

    key: str
    title: str
    format: str = "{:.4g}"
    better: Better = "neither"
    baselines: tuple[tuple[str, str], ...] = ()
    headline: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table. cells: the key of each column's figure, "" where there is none; with a `*`, one row for each match.

    title: `{}` in it is what the `*` stood for. ours: the row is about what was trained, not about a baseline.
    """

    title: str
    cells: tuple[str, ...]
    ours: bool = False


@dataclass(frozen=True)
class Table:
    """Figures side by side; rows without a single figure are left out, and a table without rows is."""

    title: str
    headings: tuple[str, ...]  # of the first column and of each cell
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Figure:
    """A picture that a measure leaves, by its file name without suffix. beside: (words, key) of figures that stand below it.

    caption: `{dim}` in it is the number of components of z. chart: drawn from numbers, not made of images. shipped: kept in the
    gallery of a shipped model.
    """

    name: str
    title: str
    caption: str
    beside: tuple[tuple[str, str], ...] = ()
    chart: bool = False
    shipped: bool = False


@dataclass(frozen=True)
class Measure:
    """A group of figures under one key, and the function that computes them.

    compute: takes the evaluation's context and returns the group, with `notes` in sentences; None where another stage makes the
    figures (training, export). It draws its figures into the context's folder.
    """

    key: str
    title: str
    quantities: tuple[Quantity, ...]
    compute: Callable[[Any], Mapping[str, Any]] | None = None
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = field(default=())
