"""What was measured, as text: every key, title and format comes from the register, and no torch is loaded.

`metrics` are those of one run, nested. A table, a headline or a sentence appears when it has a figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from soda.evaluation.registry import Figure, Measure, Quantity, Table, flatten, measures, number

MISSING = "–"
ARROWS = {"higher": "↑", "lower": "↓"}

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    text: str
    share: float | None = None  # 0 to 1, where it can be drawn as a bar


@dataclass(frozen=True)
class TextRow:
    title: str
    remark: str
    cells: list[Cell]
    ours: bool


@dataclass(frozen=True)
class TextTable:
    """A table ready to be shown, without the rows and columns that have no figure."""

    title: str
    headings: list[str]  # of the first column and of each cell
    better: list[str]  # of each cell's column: higher | lower | "" where that differs from row to row
    rows: list[TextRow]

    def markdown(self) -> str:
        headings = [f"{text} {ARROWS.get(way, '')}".strip() for text, way in zip(self.headings[1:], self.better, strict=True)]
        rows = [
            [f"{row.title} ({row.remark})" if row.remark else row.title, *(cell.text for cell in row.cells)] for row in self.rows
        ]
        bold = [[f"**{text}**" if row.ours else text for text in texts] for row, texts in zip(self.rows, rows, strict=True)]
        return markdown_table([self.headings[0], *headings], bold)


@dataclass(frozen=True)
class KeyFigure:
    """One of the figures that a reader wants first. beside: (title, text) of what stands beside it."""

    title: str
    text: str
    beside: list[tuple[str, str]]
    remark: str


def text_tables(measure: Measure, metrics: Metrics) -> list[TextTable]:
    """The tables of a measure that have a figure."""
    return [table for declared in measure.tables if (table := _text_table(measure, declared, metrics))]


def _text_table(measure: Measure, table: Table, metrics: Metrics) -> TextTable | None:
    group = measure.group(metrics)
    each = [(row, star) for row in table.rows for star in row.stars(group)]
    filled = [(row, star, [cell.replace("*", star) for cell in row.cells]) for row, star in each]
    filled = [(row, star, keys) for row, star, keys in filled if any(group.get(key) is not None for key in keys)]
    columns = [i for i in range(len(table.headings) - 1) if any(group.get(keys[i]) is not None for _, _, keys in filled)]
    if not filled:
        return None

    def cell(key: str) -> Cell:
        value, quantity = group.get(key), measure.quantity(key)
        if value is None or quantity is None:
            return Cell(MISSING)
        return Cell(quantity.written(value), value if table.bars and isinstance(value, float) else None)

    rows = [
        TextRow(row.title.replace("{}", star), row.remark, [cell(keys[i]) for i in columns], row.ours)
        for row, star, keys in filled
    ]
    better = []
    for i in columns:
        ways = {quantity.better for row in table.rows if (quantity := measure.quantity(row.cells[i]))}
        better.append("".join(ways - {"neither"}) if len(ways) == 1 else "")
    return TextTable(table.title, [table.headings[0], *(table.headings[1 + i] for i in columns)], better, rows)


def key_figures(metrics: Metrics) -> list[KeyFigure]:
    """The headlines of all measures, in the order of the register."""
    found = []
    for measure in measures():
        for quantity in measure.quantities:
            headline, text = quantity.headline, measure.said(metrics, quantity.key)
            if headline is None or text is None or (headline.unless and flatten(metrics).get(headline.unless) is not None):
                continue
            found.append(KeyFigure(headline.title, text, list(_said(measure, headline.beside, metrics)), headline.remark))
    return found


def beside(measure: Measure, figure: Figure, metrics: Metrics) -> str:
    """A sentence of the figures that stand below an image; empty where none was measured."""
    said = ", ".join(f"{words} {text}" for words, text in _said(measure, figure.beside, metrics))
    return f"{said[0].upper()}{said[1:]}." if said else ""


def _said(measure: Measure, pairs: Iterable[tuple[str, str]], metrics: Metrics) -> Iterator[tuple[str, str]]:
    for words, key in pairs:
        if (text := measure.said(metrics, key)) is not None:
            yield words, text


def every_figure(measure: Measure, metrics: Metrics) -> list[tuple[str, str, str]]:
    """(dotted key, title, text) of all that a run has of a measure."""
    group = measure.group(metrics)
    known = [(key, measure.quantity(key), value) for key, value in group.items()]
    return [(f"{measure.key}.{key}", quantity.titled(key), quantity.written(value)) for key, quantity, value in known if quantity]


def comparisons(measure: Measure, metrics: Metrics) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Each figure that has baselines: its title, and rows of (what it is of, text, how far the figure is from it)."""
    group = measure.group(metrics)
    found = []
    for quantity in measure.quantities:
        others = [(group[key], title) for key, title in quantity.baselines if group.get(key) is not None]
        if others and (ours := group.get(quantity.key)) is not None:
            rows = [(title, quantity.written(value), _difference(ours - value, quantity)) for value, title in others]
            found.append((quantity.title, [("**this model**", quantity.written(ours), ""), *rows]))
    return found


def _difference(value: float, quantity: Quantity) -> str:
    return f"{100 * value:+.1f} points" if quantity.format.endswith("%}") else f"{value:+.3g}"


def headline_table(runs: Mapping[str, Metrics]) -> str:
    """The key figures of several runs as one Markdown table: a column a run, below each figure what stands beside it."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for name, metrics in runs.items():
        for figure in key_figures(metrics):
            title = f"**{figure.title}**" + (f" ({figure.remark})" if figure.remark else "")
            for beside, text in [("", f"**{figure.text}**"), *figure.beside]:
                rows.setdefault((title, beside), {})[name] = text
    lines = [[beside or title, *(row.get(name, MISSING) for name in runs)] for (title, beside), row in rows.items()]
    return markdown_table(["", *runs], lines)


def markdown_table(headings: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown; bars and line breaks in its texts are made harmless."""

    def line(cells: Sequence[object]) -> str:
        texts = [number(cell) if isinstance(cell, (int, float)) else str(cell) for cell in cells]
        return f"| {' | '.join(text.replace('|', chr(92) + '|').replace(chr(10), ' ') for text in texts)} |"

    return "\n".join(map(line, [headings, ["---"] * len(headings), *rows]))
