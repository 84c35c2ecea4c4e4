"""Markdown pages to look at in Prefect: the verdict, the figures beside their baselines, the images.

All are Markdown: Prefect shows it with images as data URIs, in both of its interfaces, while an image artifact needs a URL and
prints it in full. Colours of text are stripped there, so what must be red is an image too.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeGuard

from flows.beside import NONE, Released
from soda.evaluation.registry import Measure, measures, require_declared
from soda.report.presentation import MISSING, comparisons, every_figure, markdown_table

FIGURE_WIDTH = 960  # px; a wider figure is drawn smaller
_RED, _GREEN = "#c62828", "#2e7d32"
_MAX_ROWS = 20


def banner(text: str, *, good: bool) -> str:
    """A coloured label as Markdown."""
    width = 24 + 11 * len(text)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="36"><rect width="{width}" height="36" rx="6" '
        f'fill="{_GREEN if good else _RED}"/><text x="{width / 2}" y="24" font-family="sans-serif" font-size="18" '
        f'font-weight="bold" text-anchor="middle" fill="white">{text}</text></svg>'
    )
    return f"![{text}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def verdict_markdown(verdict: dict[str, Any], thumbnails: Mapping[str, str] = MappingProxyType({})) -> str:
    """The gate's verdict: what failed first, with the rows that failed it, then every check.

    thumbnails: id -> data URI, as the gate leaves them for rows that failed and for those that their values name.
    """
    success, failures = bool(verdict.get("success")), verdict.get("failures", [])
    parts = [f"# The gate: {verdict.get('dataset', '')}", banner("PASSED" if success else "FAILED", good=success)]
    if failures:
        parts.append("\n".join(f"- **{failure}**" for failure in failures))
    if not success and verdict.get("allowed"):
        parts.append(banner("TRAINED ON ALL THE SAME: gate.allow_failure is set", good=False))
    if remarks := verdict.get("remarks", []):
        parts.append("Remarks, trained on all the same:\n" + "\n".join(f"- {remark}" for remark in remarks))
    checks = verdict.get("checks", [])
    for check in (check for check in checks if not check["success"] and check.get("failing_rows")):
        shown = check["failing_rows"][:_MAX_ROWS]
        rows = [(*(row.get(key) for key in ("id", "file", "value")), _seen(row, thumbnails)) for row in shown]
        parts.append(f"### {check['about']}\nFailing rows ({len(rows)} of {check.get('failing_count', len(rows)):,}):")
        parts.append(markdown_table(("id", "file", "value", ""), rows))
    parts.append("## Checks")
    ordered = sorted(checks, key=lambda check: bool(check["success"]))
    parts.append(
        markdown_table(
            ("", "what must hold", "column", "observed"),
            [
                (
                    "ok" if c["success"] else "remark" if c.get("severity") == "remark" else "**FAILED**",
                    c["about"],
                    c.get("column") or "",
                    c.get("observed", ""),
                )
                for c in ordered
            ],
        )
    )
    parts.append(f"{verdict.get('rows', 0):,} rows, data version `{verdict.get('data_version', '')}`")
    return "\n\n".join(parts)


def _seen(row: Mapping[str, Any], thumbnails: Mapping[str, str]) -> str:
    """The row's image, and that of the row which its value names."""
    return " ".join(f"![image]({thumbnails[name]})" for name in (str(row.get("id")), str(row.get("value"))) if name in thumbnails)


def preparation_markdown(summary: dict[str, Any], rejected: Path) -> str:
    """How many images there are of which kind, and which files were left out and why."""
    rows: list[tuple[object, ...]] = [("images", summary["count"])]
    rows += [(f"split {name}", count) for name, count in summary["splits"].items()]
    rows += [("labels", ", ".join(summary["labels"]) or "none"), ("left out", summary["rejected"])]
    further = ("duplicates_dropped", "image_size", "channels", "source", "licence")
    rows += [(key.replace("_", " "), summary[key]) for key in further]
    parts = [f"# Prepared data: {summary['dataset']}", markdown_table(("", ""), rows)]
    if rejected.is_file():
        with rejected.open(encoding="utf-8", newline="") as handle:
            left_out = [(line["file"], line["reason"]) for line in islice(csv.DictReader(handle), _MAX_ROWS)]
        if left_out:
            parts += [f"## Left out (the first {len(left_out)})", markdown_table(("file", "reason"), left_out)]
    return "\n\n".join(parts)


def metrics_markdown(metrics: dict[str, Any], released: Released = NONE) -> str:
    """The figures by measure, those that have something to stand next to first, and beside each that of the release in use.

    Raises UndeclaredError for an undeclared one.
    """
    require_declared(metrics)
    parts = ["# Metrics", *([released.remark] if released.remark else [])]
    for measure in measures():
        figures = every_figure(measure, metrics)
        if not figures:
            continue
        parts.append(f"## {measure.title}")
        for title, rows in comparisons(measure, metrics):
            parts += [f"### {title}", markdown_table(("", "", "this model against it"), rows)]
        if released.metrics is None:
            parts.append(markdown_table(("", "", ""), [(title, text, f"`{key}`") for key, title, text in figures]))
            continue
        theirs = {key: text for key, _, text in every_figure(measure, released.metrics)}
        beside = [
            (title, text, theirs.get(key, MISSING), _change(measure, key, metrics, released.metrics), f"`{key}`")
            for key, title, text in figures
        ]
        parts.append(markdown_table(("", "this run", released.version, "change", ""), beside))
    return "\n\n".join(parts)


def _change(measure: Measure, key: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """How far a figure has moved, and whether that is better; "" where it cannot be said."""
    name = key.removeprefix(f"{measure.key}.")
    quantity, value, before = measure.quantity(name), measure.group(ours).get(name), measure.group(theirs).get(name)
    if quantity is None or not (_is_number(value) and _is_number(before)):
        return ""
    moved = float(value) - float(before)
    if moved == 0:
        return "the same"
    written = "{:+,.0f}" if abs(moved) >= 1000 else "{:+.3g}"
    text = f"{100 * moved:+.1f} points" if quantity.format.endswith("%}") else written.format(moved)
    if quantity.better == "neither":
        return text
    return f"{text}, {'better' if (moved > 0) == (quantity.better == 'higher') else '**worse**'}"


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def image_markdown(path: Path) -> str:
    """A figure inside Markdown, at most FIGURE_WIDTH px wide. Pillow reads it; a file that is no image raises OSError."""
    from PIL import Image

    with Image.open(path) as opened:
        image = opened.convert("RGB")
    if image.width > FIGURE_WIDTH:
        height = max(1, round(image.height * FIGURE_WIDTH / image.width))
        image = image.resize((FIGURE_WIDTH, height), Image.Resampling.LANCZOS)
    lossless, lossy = io.BytesIO(), io.BytesIO()
    image.save(lossless, "PNG", optimize=True)
    image.save(lossy, "WEBP", quality=85)
    kind, data = ("png", lossless) if lossless.tell() <= 2 * lossy.tell() else ("webp", lossy)
    return f"![{path.stem}](data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()})"
