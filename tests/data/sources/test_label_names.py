"""Names in a table of labels: as they are written first, then in whatever other spelling means one file alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from soda.data.sources.base import SourceError
from soda.data.sources.labels import read_label_csv

COMPOSED, DECOMPOSED = "gr\u00f6\u00dfe.png", "gro\u0308\u00dfe.png"


def labels(path: Path, rows: dict[str, str], names: list[str]) -> dict[str, str]:
    lines = ["file,label", *(f'"{name}",{label}' for name, label in rows.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_label_csv(path, names, file_column="file", label_column="label")


@pytest.mark.parametrize(
    "names", [[COMPOSED, DECOMPOSED], ["a.png", " a.png", "a.png "], ["a/b.png", "a\\b.png"], ["a /b.png", "a/b.png"]]
)
def test_names_that_differ_in_spelling_alone_are_two_files(tmp_path: Path, names: list[str]) -> None:
    rows = {name: f"kind {i}" for i, name in enumerate(names)}
    assert labels(tmp_path / "l.csv", rows, names) == rows


@pytest.mark.parametrize("written", [DECOMPOSED, f"./{COMPOSED}", f" {COMPOSED} ", f".\\{COMPOSED}", f"./././{COMPOSED}"])
def test_another_spelling_is_understood_where_it_means_one_file(tmp_path: Path, written: str) -> None:
    assert labels(tmp_path / "l.csv", {written: "x"}, [COMPOSED]) == {COMPOSED: "x"}


def test_a_spelling_that_may_mean_two_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"l\.csv, line 2: \./a\.png may be any of 2 pictures"):
        labels(tmp_path / "l.csv", {"./a.png": "x"}, [" a.png", "a.png "])
