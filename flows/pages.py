"""Markdown pages to look at in Prefect: the verdict, the figures beside their baselines, the images.

All are Markdown: Prefect shows it with images as data URIs, in both of its interfaces, while an image artifact needs a URL and
prints it in full. Colours of text are stripped there, so what must be red is an image too.
"""

from __future__ import annotations

import base64
import csv
import io
from itertools import islice
from pathlib import Path
from typing import Any

from soda.evaluation.registry import measures, require_declared
from soda.report.presentation import comparisons, every_figure, markdown_table

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


def verdict_markdown(verdict: dict[str, Any]) -> str:
    """The gate's verdict: what failed first, with the rows that failed it, then every check."""
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
        rows = [(row.get("id"), row.get("file"), row.get("value")) for row in check["failing_rows"][:_MAX_ROWS]]
        parts.append(f"### {check['about']}\nFailing rows ({len(rows)} of {check.get('failing_count', len(rows)):,}):")
        parts.append(markdown_table(("id", "file", "value"), rows))
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


def metrics_markdown(metrics: dict[str, Any]) -> str:
    """The figures by measure, those that have something to stand next to first. Raises UndeclaredError for an undeclared one."""
    require_declared(metrics)
    parts = ["# Metrics"]
    for measure in measures():
        figures = every_figure(measure, metrics)
        if not figures:
            continue
        parts.append(f"## {measure.title}")
        for title, rows in comparisons(measure, metrics):
            parts += [f"### {title}", markdown_table(("", "", "this model against it"), rows)]
        parts.append(markdown_table(("", "", ""), [(title, text, f"`{key}`") for key, title, text in figures]))
    return "\n\n".join(parts)


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
