"""Data Docs of the gate: Great Expectations' own pages of validation results, made to be read offline, behind an overview.

The pages that its site builder writes fetch their style, their icons and even the rows of the index from the network, and carry
the time of the run. Here its page renderer and section templates are used with a page of our own around them: local files only,
and the same bytes for the same data.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from soda.common.files import whole_folder, write_json
from soda.data.gate.run_suite import TableResult, plain
from soda.data.gate.suite import GateTable
from soda.data.gate.thumbnails import FILE

_TEMPLATE, _STYLE = "data_docs.j2", "data_docs.css"
_MAX_SHOWN = 200  # rows of a table that its page shows whole


def write_docs(
    folder: Path, verdict: dict[str, Any], results: Sequence[TableResult], thumbnails: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Replace `folder` by index.html (the verdict), one page a table, and thumbnails.json, whole or not at all.

    thumbnails: id -> data URI of rows that failed.
    """
    view = _view()
    style = resources.files(__package__).joinpath(_STYLE).read_text(encoding="utf-8")
    with whole_folder(folder) as new:
        pages = [{"name": r.table.name, "about": r.table.about, "checks": r.checks} for r in results]
        seen = dict(thumbnails)
        _render(new / "index.html", view, [], title="Gate", css=style, overview=True, verdict=verdict, pages=pages, seen=seen)
        write_json(new / FILE, seen)
        for result in results:
            table, sections = result.table, _sections(result)
            values = {"title": table.name, "about": table.about, "success": result.success, "rows": _shown(table)}
            _render(new / f"{table.name}.html", view, sections, css=style, **values)


def _view() -> Any:
    from great_expectations.render.view import DefaultJinjaPageView
    from jinja2 import ChoiceLoader, DictLoader

    page = resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    view: Any = DefaultJinjaPageView()
    view.env.loader = ChoiceLoader([DictLoader({_TEMPLATE: page}), view.env.loader])
    numbers = itertools.count(1)
    view.env.filters["generate_html_element_uuid"] = lambda prefix: f"{prefix}{next(numbers)}"
    return view


def _sections(result: TableResult) -> list[Any]:
    """The sections of Great Expectations' results page, but for its header and the run's times."""
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer

    overview, *columns, _ = ValidationResultsPageRenderer(run_info_at_end=True).render(result.validation).sections
    overview.content_blocks = overview.content_blocks[1:]
    return [overview, *columns]


def _shown(table: GateTable) -> list[list[Any]]:
    """A small table as it is, its header first; nothing of a large one."""
    frame = table.frame
    if len(frame) > _MAX_SHOWN:
        return []
    return [list(frame.columns), *([plain(value) for value in row] for row in frame.itertuples(index=False))]


def _render(path: Path, view: Any, sections: list[Any], **values: Any) -> None:
    from great_expectations.render import RenderedDocumentContent

    document = RenderedDocumentContent(sections=sections, renderer_type="ValidationResultsPageRenderer")
    path.write_text(view.render(document, template=_TEMPLATE, **{"overview": False, **values}), encoding="utf-8")
