"""Figures as text: tables beside their baselines, headlines and sentences, of what was measured and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from soda.evaluation.registry import measures
from soda.report.parts import ReportError
from soda.report.presentation import comparisons, every_figure, headline_table, key_figures, markdown_table, text_tables
from soda.report.results import BEGIN, END, results
from tests.support.settings import ROOT

METRICS: dict[str, Any] = {
    "probe": {"linear_top1": 0.87, "pixels_linear_top1": 0.8, "majority_top1": 0.1, "notes": ["Well."]},
    "reconstruction": {"psnr": 20.0, "psnr@10": 20.5, "ssim@10": 0.8, "lpips_like@10": 0.1, "exact_psnr@100": 35.0},
    "mix": {"style_accuracy": 0.8, "content_retrieval": 0.5, "content_chance": 0.01, "style_accuracy_style_alone": 0.9},
    "sections": {"by_factor": {"hair": {"linear_top1": 0.9, "majority_top1": 0.2}}},
    "attributes": {"best_match": {"hair": {"direction": 3, "score": 0.7, "others": 0.1, "random_score": 0.3}}},
    "disentanglement": {"dci_d": 0.5, "dci_c": 0.25, "baselines": {"pca": {"dci_d": 0.1}}},
}


def texts(metrics: dict[str, Any]) -> dict[str, list[list[str]]]:
    """Rows of every table of every measure, by the measure's key."""
    tables = [(measure.key, table) for measure in measures() for table in text_tables(measure, metrics)]
    for _, table in tables:
        assert all(len(row.cells) == len(table.headings) - 1 == len(table.better) for row in table.rows)
    return {key: [[row.title, *(cell.text for cell in row.cells)] for row in table.rows] for key, table in tables}


def test_tables_show_what_there_is_and_no_empty_column() -> None:
    shown = texts(METRICS)
    assert shown["probe"] == [["SODA latent", "87.0%"], ["Raw pixels", "80.0%"], ["Chance", "10.0%"]]
    assert shown["reconstruction"] == [
        ["z alone, 10 steps", "20.50", "0.800", "0.100"],
        ["z and inverted noise, 100 steps", "35", "–", "–"],
    ]
    assert shown["mix"] == [["Mixes", "80.0%", "50.0%"], ["The style alone", "90.0%", "–"], ["Chance", "–", "1.0%"]]
    assert shown["sections"] == [["hair", "90.0%", "20.0%"]]
    assert shown["attributes"] == [["hair", "3", "70.0%", "10.0%", "30.0%"]]
    assert shown["disentanglement"] == [["SODA latent", "0.500", "0.250"], ["PCA of pixels", "0.100", "–"]]
    assert texts({}) == {}


def test_every_figure_is_shown_under_its_key_with_its_title() -> None:
    shown = [row for measure in measures() for row in every_figure(measure, METRICS)]
    assert len(shown) == 3 + 5 + 4 + 2 + 4 + 3
    assert ("sections.by_factor.hair.majority_top1", "Linear probe of hair: Commonest value", "20.0%") in shown


def test_a_figure_is_compared_with_its_baselines() -> None:
    probe = next(measure for measure in measures() if measure.key == "probe")
    (_, rows), *others = comparisons(probe, METRICS)
    assert rows == [
        ("**this model**", "87.0%", ""),
        ("raw pixels", "80.0%", "+7.0 points"),
        ("always the commonest label", "10.0%", "+77.0 points"),
    ]
    assert not others


def test_headlines_stand_beside_their_baselines_and_give_way_to_one_that_says_more() -> None:
    titles = [figure.title for figure in key_figures(METRICS)]
    first = key_figures(METRICS)[0]
    assert first.text == "87.0%" and first.beside == [("pixels", "80.0%")] and any("reconstructions" in title for title in titles)
    posed = [figure.title for figure in key_figures({**METRICS, "novel_view": {"psnr@1": 20.0}})]
    assert any("novel views" in title for title in posed) and not any("reconstructions" in title for title in posed)


def test_the_table_of_several_runs_has_a_column_each_and_a_dash_for_what_one_lacks() -> None:
    lines = headline_table({"mine": METRICS, "other": {"latent": {"usage_gap": 0.5}}}).splitlines()
    assert lines[0] == "|  | mine | other |" and "| **linear probe on the frozen latent** | **87.0%** | – |" in lines
    assert "| pixels | 80.0% | – |" in lines and lines[-1].endswith("| – | **+50.0%** |")


def test_texts_cannot_break_a_markdown_table() -> None:
    assert markdown_table(("a|b", "c"), [("x\ny", 1234567), (True, 0.25)]).splitlines() == [
        "| a\\|b | c |",
        "| --- | --- |",
        "| x y | 1,234,567 |",
        "| yes | 0.25 |",
    ]


def test_the_table_of_the_readme_is_what_the_shipped_models_reach() -> None:
    readme = (ROOT / "README.md").read_text()
    table = readme[readme.index(BEGIN) + len(BEGIN) : readme.index(END)].strip()
    assert table == results(folder=ROOT / "docs/results"), "`soda results README.md` puts it right"
    for folder in (ROOT / "zoo").iterdir():
        assert (
            f"{100 * json.loads((ROOT / f'docs/results/{folder.name}.json').read_text())['probe']['linear_top1']:.1f}%" in table
        )


def test_a_page_gets_the_table_between_its_marks_or_is_left_as_it_was(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n{BEGIN}\nold\n{END}\nAfter.\n")
    results(page, ROOT / "docs/results")
    results(page, ROOT / "docs/results")
    assert page.read_text() == f"Before.\n{BEGIN}\n{results(folder=ROOT / 'docs/results')}\n{END}\nAfter.\n"
    page.write_text("No marks.")
    with pytest.raises(ReportError, match=r"page\.md: has no lines"):
        results(page, ROOT / "docs/results")
    assert page.read_text() == "No marks."


def test_it_loads_no_torch() -> None:
    code = "import sys, soda.report.presentation as p; p.key_figures({}); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
