"""The register of measures: what each figure is called, how it is printed, which way is better, and what stands beside it.

One file of `measures/` declares one `Measure`, as MEASURE, and computes it. Whatever shows figures (report, gallery, card, the
pages in Prefect, the table of the README) iterates `measures()` and knows no key by name; a key that no measure declares is an
error. Importing the register and all that is declared in it loads no torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from soda.common.errors import SodaError

Better = Literal["higher", "lower", "neither"]
Beside = tuple[tuple[str, str], ...]
"""(words, key in the same measure) of figures that stand beside another or below an image."""


class UndeclaredError(SodaError, ValueError):
    """A figure that no measure declares."""


@dataclass(frozen=True)
class Headline:
    """What a figure is called among the first ones that a reader sees, and what stands beside it there.

    remark: stands beside it too. unless: dotted key of a figure of another measure in whose presence it says nothing.
    """

    title: str
    beside: Beside = ()
    remark: str = ""
    unless: str = ""


@dataclass(frozen=True)
class Quantity:
    """One figure of a measure.

    key: dotted, below the measure's own; `*` stands for one name or a part of one (`by_factor.*.linear_top1`, `psnr@*`).
    format: of str.format, as it stands in tables, "" for what `number` gives; spoken: the same in a sentence, with the unit,
    "" for `format`. baselines: (key, title) of what it is compared with, in the same measure.
    """

    key: str
    title: str
    format: str = ""
    better: Better = "neither"
    spoken: str = ""
    baselines: Beside = ()
    headline: Headline | None = None

    def titled(self, key: str) -> str:
        """The title of one of its figures, with what the `*` of its key stands for."""
        found = _pattern(self.key).fullmatch(key)
        return self.title.replace("{}", " ".join(found.groups())) if found else self.title

    def written(self, value: Any) -> str:
        """The value as it stands in a table."""
        return _formatted(self.format, value)

    def said(self, value: Any) -> str:
        """The value in a sentence, with its unit."""
        return _formatted(self.spoken or self.format, value)


@dataclass(frozen=True)
class Row:
    """A row of a table. cells: the key of each column's figure, "" where there is none; with a `*`, one row for each match.

    title: `{}` in it is what the `*` stood for. ours: the row is about what was trained, not about a baseline. remark: how the
    row's figures were come by, where the headings do not say it.
    """

    title: str
    cells: tuple[str, ...]
    ours: bool = False
    remark: str = ""

    def stars(self, group: Mapping[str, Any]) -> list[str]:
        """What the `*` of its cells stands for in a flat group, each once; a row without one stands for itself."""
        if not any("*" in cell for cell in self.cells):
            return [""]
        found = (hit[1] for cell in self.cells if cell for key in group if (hit := _pattern(cell).fullmatch(key)))
        return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Table:
    """Figures side by side. headings: of the first column and of each cell. bars: they are shares, and can be drawn as bars."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[Row, ...]
    bars: bool = False


@dataclass(frozen=True)
class Figure:
    """An image that a measure leaves, by its file name without suffix. beside: figures that stand below it.

    caption: `{dim}` in it is the number of components of z. chart: drawn from numbers, not made of images. shipped: kept in the
    gallery of a shipped model.
    """

    name: str
    title: str
    caption: str
    beside: Beside = ()
    chart: bool = False
    shipped: bool = True


@dataclass(frozen=True)
class Measure:
    """A group of figures under one key, and the function that computes them.

    place: where it comes in the metrics and on the page, the least first. compute: takes the EvaluationContext and returns the
    group with `notes` in sentences, or nothing where the measure does not apply; None where another stage makes the figures. It
    draws its images into the context's folder. card: sentences of a model card; `{key:format}` is a figure of this measure, and a
    sentence that lacks one is left out.
    """

    key: str
    title: str
    place: int
    quantities: tuple[Quantity, ...] = ()
    compute: Callable[[Any], Mapping[str, Any]] | None = None
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    card: tuple[str, ...] = ()

    def quantity(self, key: str) -> Quantity | None:
        """The quantity that a key below the measure's own is one of."""
        return next((each for each in self.quantities if _pattern(each.key).fullmatch(key)), None)

    def group(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """The figures of this measure in the nested metrics of a run, by dotted key below its own."""
        return flatten(metrics.get(self.key) or {})

    def said(self, metrics: Mapping[str, Any], key: str) -> str | None:
        """A figure of this measure as a sentence has it; None where it was not measured."""
        value, quantity = self.group(metrics).get(key), self.quantity(key)
        return None if value is None or quantity is None else quantity.said(value)

    def sentences(self, metrics: Mapping[str, Any]) -> list[str]:
        """The sentences of `card` whose figures were all measured."""
        group = self.group(metrics)
        filled = []
        for template in self.card if group else ():
            if all(group.get(name) is not None for name, _ in _FIELD.findall(template)):
                filled.append(_FIELD.sub(lambda found: format(group[found[1]], found[2] or ""), template))
        return filled


_FIELD = re.compile(r"\{([^{}:]+)(?::([^{}]*))?\}")


@lru_cache(maxsize=1)
def measures() -> tuple[Measure, ...]:
    """All that is declared in `measures/`, in the order of the page."""
    from soda.evaluation.measures import declared  # it looks through its own folder, so that whoever asks depends on all in it

    return tuple(sorted(declared(), key=lambda measure: measure.place))


def find(key: str) -> tuple[Measure, Quantity] | None:
    """The measure and the quantity that a dotted key (`probe.linear_top1`) is one of; None where nobody declares it."""
    group, _, rest = key.partition(".")
    for measure in measures():
        if measure.key == group and (quantity := measure.quantity(rest)):
            return measure, quantity
    return None


def require_declared(metrics: Mapping[str, Any]) -> None:
    """Raise UndeclaredError naming the first figure of nested `metrics` that no measure declares; notes are no figures."""
    for key in flatten(metrics):
        if find(key) is None:
            raise UndeclaredError(f"{key}: no measure declares this figure; declare it in a file of soda/evaluation/measures")


def flatten(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys and values of nested metrics, without the notes."""
    flat: dict[str, Any] = {}
    for name, value in metrics.items():
        if name != "notes":
            flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def number(value: float) -> str:
    """Whole numbers with thousands marked, others to four figures: 70,000 · 0.8713 · 1.2e-06."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 1000 else f"{value:.4g}"


def _formatted(form: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if not form:
        return number(value)
    if form.endswith("%}") and abs(value) > 1:  # beyond the whole nobody asks for decimals
        form = re.sub(r"\.\d+%}", ".0%}", form)
    return form.format(value)


@lru_cache(maxsize=1024)
def _pattern(key: str) -> re.Pattern[str]:
    return re.compile(re.escape(key).replace(r"\*", "(.+?)"))
