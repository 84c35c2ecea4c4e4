"""Tables that name pictures: how they may be written, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from soda.common.name_tables import Column, TableError, meant, read_labels, read_rows, require_all

FILE, LABEL = Column("file"), Column("label", "some.setting")
DECOMPOSED, COMPOSED = "cafe\N{COMBINING ACUTE ACCENT}/1.png", "caf\N{LATIN SMALL LETTER E WITH ACUTE}/1.png"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\N{ZERO WIDTH NO-BREAK SPACE}"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_dialects_that_spreadsheets_write(tmp_path: Path, delimiter: str, mark: str, end: str) -> None:
    lines = [["n", "file ", "label"], ["1", "a/0.png", "x"], ["2", '"b, c; d.png"', "y"]]
    path = tmp_path / "l.csv"
    path.write_text(mark + end.join(delimiter.join(line) for line in lines) + end, encoding="utf-8", newline="")
    assert read_rows(path, FILE, LABEL) == [(2, ("a/0.png", "x")), (3, ("b, c; d.png", "y"))]


@pytest.mark.parametrize("written", ["./a/0.png", "a\\0.png", " a/0.png ", ".\\a\\0.png", "a//0.png"])
def test_another_spelling_is_the_one_picture_that_it_may_mean(written: str) -> None:
    assert meant([written], ["b/0.png", "a/0.png"]) == {written: ["a/0.png"]}
    assert meant([written], ["a/0.png", written]) == {written: [written]}  # exactly first
    assert meant([written], ["b/0.png"]) == {}


def test_unicode_and_names_that_differ_by_a_blank() -> None:
    assert meant([DECOMPOSED], [COMPOSED]) == {DECOMPOSED: [COMPOSED]} and meant([COMPOSED], [DECOMPOSED])
    assert meant([COMPOSED], [DECOMPOSED, COMPOSED]) == {COMPOSED: [COMPOSED]}
    assert meant(["a.png", " a.png"], [" a.png", "a.png"]) == {"a.png": ["a.png"], " a.png": [" a.png"]}
    assert meant(["./a.png"], [" a.png", "a.png"]) == {"./a.png": [" a.png", "a.png"]}
    assert meant(["", ".", " "], ["a.png"]) == {}


def test_rows_about_other_pictures_are_told_apart_and_missing_ones_named(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("file,label\na.png,x\nc.png,z\n")
    labels = read_labels(path, ["a.png", "b.png"], file=FILE, label=LABEL)
    assert labels.by_name == {"a.png": "x"} and labels.strangers == ["line 3 (c.png)"] and labels.rows == 2
    with pytest.raises(TableError, match=r"l\.csv: no row for 1 pictures \(b\.png\)"):
        require_all(path, labels, ["a.png", "b.png"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "l.csv: no column 'file'; its columns are none"),
        (b"file,kind\n", "l.csv: no column 'label' (some.setting); its columns are file, kind"),
        (b"file,label,label\n", "l.csv: 2 columns are called 'label' (some.setting)"),
        (b"file,label\na.png,\n,x\n", "l.csv: column 'label' is empty in 2 of 2 rows: line 2 (a.png), line 3"),
        (b"file,label\na.png,x\n./a.png,y\n", "l.csv, line 3: ./a.png is 'y', an earlier line says 'x'"),
        (b"file,label\n\xff,y\n", "l.csv: not UTF-8 text (invalid start byte"),
        ("file,label\na.png,y\n".encode("utf-16"), "l.csv: not UTF-8 text"),
        (None, "l.csv: cannot be read (no such file or directory)"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: bytes | None, says: str) -> None:
    path = tmp_path / "l.csv"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(TableError, match=re.escape(says)):
        read_labels(path, ["a.png"], file=FILE, label=LABEL)
