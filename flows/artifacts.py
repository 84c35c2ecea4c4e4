"""Publishes what a stage left behind as Prefect artifacts, also when the stage failed."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from prefect.artifacts import create_markdown_artifact

from flows.beside import released_beside
from flows.pages import image_markdown, metrics_markdown, preparation_markdown, verdict_markdown
from soda.layout import DATA_DOCS, FIGURES, HTML, METRICS, PARTS, PREPARED, VERDICT


class Page(NamedTuple):
    """One artifact: its key (lower case and dashes), its one-line description and its Markdown."""

    key: str
    description: str
    markdown: str


def _read(path: Path) -> dict[str, Any]:
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError(f"{path}: not a JSON object")
    return values


def _prepare(path: Path) -> Page:
    markdown = preparation_markdown(_read(path), path.with_name("rejected.csv"))
    return Page("prepared-data", "What was prepared, and what was left out", markdown)


def _verdict(path: Path) -> Page:
    verdict = _read(path)
    outcome = "passed" if verdict.get("success") else "FAILED"
    description = f"The gate {outcome}: {verdict.get('rows', 0):,} rows of {verdict.get('dataset')}"
    thumbnails = path.parents[1] / DATA_DOCS / "thumbnails.json"
    return Page("verdict", description, verdict_markdown(verdict, _read(thumbnails) if thumbnails.is_file() else {}))


def _metrics(key: str) -> Callable[[Path], Page]:
    def page(path: Path) -> Page:
        released = released_beside(path.parents[1].absolute())
        beside = f" beside those of {released.version}" if released.version else ""
        return Page(key, f"Figures of {path.name}{beside}", metrics_markdown(_read(path), released))

    return page


def _image(path: Path) -> Page:
    key = "picture-" + re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")
    return Page(key, f"Figure {path.stem.replace('_', ' ')}", image_markdown(path))


def _report(path: Path) -> Page:
    markdown = f"# [{path.name}]({path.as_uri()})\n\nOpen it in a browser; it works offline:\n\n`{path}`"
    return Page("report", "The page with everything", markdown)


# What a stage leaves to look at: a glob of files, and the page that is made of each.
PAGES: dict[str, list[tuple[str, Callable[[Path], Page]]]] = {
    "prepare": [(f"{PREPARED}/summary.json", _prepare)],
    "validate": [(str(VERDICT), _verdict)],
    "train": [(str(PARTS["train"]), _metrics("metrics-train"))],
    "evaluate": [(str(PARTS["evaluate"]), _metrics("metrics-evaluate")), (f"{FIGURES}/*.png", _image)],
    "export": [(str(PARTS["export"]), _metrics("metrics-export"))],
    "report": [(str(METRICS), _metrics("metrics")), (str(HTML), _report)],
}


def publish(stage: str, root: Path, log: logging.Logger | logging.LoggerAdapter[Any], since: float = 0.0) -> list[str]:
    """Publish the pages of a stage and return their keys; files written before `since` (seconds since the epoch) are left out.

    A page that cannot be made is a warning: it must not fail the run, nor hide why the stage failed.
    """
    keys = []
    found = [(make, path) for pattern, make in PAGES.get(stage, []) for path in sorted(root.glob(pattern))]
    for make, path in found:
        if path.stat().st_mtime < since:
            continue
        try:
            page = make(path)
            create_markdown_artifact(page.markdown, key=page.key, description=page.description)
            keys.append(page.key)
        except Exception as error:
            log.warning("no artifact of %s: %s: %s", path, type(error).__name__, error)
    return keys
