"""The register of measures: every figure that exists is declared, tables and sentences come out of it, and it loads no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soda.evaluation.registry import Measure, Quantity, Row, Table, UndeclaredError, find, flatten, measures, require_declared
from soda.report.presentation import text_tables
from tests.support.settings import ROOT

RESULTS = [ROOT / f"docs/results/{folder.name}.json" for folder in sorted((ROOT / "zoo").iterdir())]
SMALL: dict[str, Any] = {
    "by": {"red": {"right": 0.914, "chance": 0.1}, "dark.blue": {"right": 1.0}},
    "psnr@5": 21.0,
    "count": 1200,
    "notes": ["How it was measured."],
}
SHARE = Quantity("by.*.right", "Right", "{:.1%}", "higher", spoken="{:.0%}")
MEASURE = Measure(
    key="small",
    title="Small",
    place=1,
    quantities=(
        SHARE,
        Quantity("by.*.chance", "Chance"),
        Quantity("psnr@*", "PSNR", spoken="{:.0f} dB"),
        Quantity("count", "Count"),
    ),
    card=("{count:,} images, {psnr@5:.1f} dB", "{psnr@7} dB"),
)


def test_all_figures_that_are_kept_are_declared() -> None:
    assert len(RESULTS) >= 4
    for file in RESULTS:
        require_declared(json.loads(file.read_text()))


def test_a_figure_that_nobody_declares_is_named() -> None:
    require_declared({"probe": {"linear_top1": 0.9, "notes": ["Well."]}})
    with pytest.raises(UndeclaredError, match=r"probe\.linear_top_1: no measure"):
        require_declared({"probe": {"linear_top_1": 0.9}})
    with pytest.raises(UndeclaredError, match=r"prob\.linear_top1"):
        require_declared({"prob": {"linear_top1": 0.9}})


def test_every_key_that_is_shown_is_declared_and_nothing_is_declared_twice() -> None:
    names = [figure.name for measure in measures() for figure in measure.figures]
    assert len(names) == len(set(names)) and len({measure.key for measure in measures()}) == len(measures())
    for measure in measures():
        shown = [key for table in measure.tables for row in table.rows for key in row.cells if key]
        shown += [key for figure in measure.figures for _, key in figure.beside]
        shown += [key for quantity in measure.quantities for key, _ in quantity.baselines]
        headlines = [quantity.headline for quantity in measure.quantities if quantity.headline]
        shown += [key for headline in headlines for _, key in headline.beside]
        for key in shown:
            assert measure.quantity(key.replace("*", "0")), f"{measure.key}.{key}"
        assert all(find(headline.unless) for headline in headlines if headline.unless)
        assert all(len(row.cells) == len(table.headings) - 1 for table in measure.tables for row in table.rows)
        keys = [quantity.key for quantity in measure.quantities]
        assert len(keys) == len(set(keys)), measure.key


def test_places_are_of_one_measure_each() -> None:
    places = [measure.place for measure in measures()]
    assert places == sorted(set(places))


def test_a_table_has_a_row_for_each_match_and_none_without_a_figure() -> None:
    rows = (Row("{}", ("by.*.right", "by.*.chance"), ours=True), Row("At {}", ("psnr@*", "")), Row("Nothing", ("gone", "")))
    (table,) = text_tables(replace(MEASURE, tables=(Table("T", ("", "Right", "Chance"), rows),)), {"small": SMALL})
    assert [(row.title, [cell.text for cell in row.cells]) for row in table.rows] == [
        ("red", ["91.4%", "0.1"]),
        ("dark.blue", ["100.0%", "–"]),
        ("At 5", ["21", "–"]),
    ]
    assert table.rows[0].ours


def test_figures_in_sentences_have_their_unit_and_sentences_that_lack_one_are_left_out() -> None:
    metrics = {"small": SMALL}
    assert [MEASURE.said(metrics, key) for key in ("by.red.right", "psnr@5", "psnr@6")] == ["91%", "21 dB", None]
    assert SHARE.written(7.81234) == "781%", "decimals beyond the whole say nothing"
    assert MEASURE.sentences(metrics) == ["1,200 images, 21.0 dB"]
    assert MEASURE.sentences({}) == []
    assert "small.notes" not in flatten(metrics)


def test_all_declarations_load_no_torch() -> None:
    code = "import sys; from soda.evaluation.registry import measures; measures(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path(ROOT))
    assert done.stdout.strip() == "False"
