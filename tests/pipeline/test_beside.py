"""The figures of a run beside those of the release in use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.beside import NONE, released_beside
from flows.pages import metrics_markdown
from flows.workspace import WORKSPACE
from soda.layout import PREPARED
from tests.support.releases import release
from tests.support.running import ENCODER

OURS = {"probe": {"linear_top1": 0.87, "pixels_linear_top1": 0.8}, "export": {"bytes": 900}}
THEIRS = {"probe": {"linear_top1": 0.9, "pixels_linear_top1": 0.8}}


def _prepared(root: Path, dataset: str, version: str) -> None:
    (root / PREPARED).mkdir(parents=True, exist_ok=True)
    (root / PREPARED / "summary.json").write_text(json.dumps({"dataset": dataset, "manifest_sha256": version}))


def test_a_figure_stands_beside_that_of_the_release_with_how_far_it_moved(tmp_path: Path) -> None:
    release(tmp_path, "v1.1.0", ENCODER, THEIRS, dataset="shapes", data_version="abc")
    _prepared(tmp_path, "shapes", "abc")
    page = metrics_markdown(OURS, released_beside(tmp_path))
    assert "| this run | v1.1.0 | change |" in page and "those of v1.1.0, on the same data" in page
    assert "| 87.0% | 90.0% | -3.0 points, **worse** | `probe.linear_top1` |" in page.replace("87.0 %", "87.0%").replace(
        "90.0 %", "90.0%"
    )
    assert "| the same | `probe.pixels_linear_top1` |" in page


@pytest.mark.parametrize(
    ("dataset", "version", "said"),
    [("shapes", "def", "another version of shapes and its own test split"), ("letters", "def", "**another data set**, shapes")],
)
def test_what_is_not_of_the_same_data_is_said(dataset: str, version: str, said: str, tmp_path: Path) -> None:
    release(tmp_path, "v1.1.0", ENCODER, THEIRS, dataset="shapes", data_version="abc")
    workspace = tmp_path / WORKSPACE  # of the deployments, which has no releases of its own
    _prepared(workspace, dataset, version)
    assert said in metrics_markdown(OURS, released_beside(workspace))


def test_without_a_release_there_is_no_column_and_a_damaged_one_is_a_remark(tmp_path: Path) -> None:
    assert released_beside(tmp_path) == NONE
    assert "this run" not in metrics_markdown(OURS)
    (release(tmp_path, "v1.1.0", ENCODER, THEIRS) / "metrics.json").write_text("{")
    page = metrics_markdown(OURS, released_beside(tmp_path))
    assert "no figures to compare with" in page and "probe.linear_top1" in page
