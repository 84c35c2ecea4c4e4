"""The table of what the shipped models reach, which stands in the README between two marks; nothing in it is typed by hand."""

from __future__ import annotations

from pathlib import Path

from soda import layout as at
from soda.common.files import whole_file
from soda.report.parts import Metrics, ReportError, read_metrics
from soda.report.presentation import headline_table

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def read_results(folder: Path, zoo: Path | None = None) -> dict[str, Metrics]:
    """The metrics of every shipped model, by name; zoo: where the models are, by default beside docs/.

    Raises ReportError for a broken file or an undeclared figure.
    """
    zoo = zoo or folder.parents[1] / at.ZOO
    shipped = (path for path in sorted(folder.glob("*.json")) if (zoo / path.stem).is_dir())  # other files are of benchmarks
    return {path.stem: read_metrics(path) or {} for path in shipped}


def results(page: Path | None = None, folder: Path = at.RESULTS) -> str:
    """The table as Markdown; with a page, the table is put there and the answer says so."""
    if page is None:
        return headline_table(read_results(folder))
    write_table(page, folder)
    return f"{page}: the table of {folder} stands there"


def write_table(page: Path, folder: Path) -> None:
    """Put the table between the marks of a Markdown file. Raises ReportError for a file without them."""
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise ReportError(f"{page}: {(error.strerror or str(error)).lower()}") from None
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ReportError(f"{page}: has no lines {BEGIN} and {END} for the table to stand between")
    with whole_file(page) as temporary:
        temporary.write_text(f"{before}{begin}\n{headline_table(read_results(folder))}\n{end}{after}", encoding="utf-8")
