"""Markdown pages to look at in Prefect: the verdict, the figures beside their baselines, the pictures.

All are Markdown: Prefect shows it with pictures as data URIs, in both of its interfaces, while an image artifact wants a URL and
prints it in full. Colours of text are stripped there, so what must be red is a picture too.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

FIGURE_WIDTH = 960  # px; a wider figure is drawn smaller
_RED, _GREEN = "#c62828", "#2e7d32"
_MAX_ROWS = 20

BASELINES = {
    "probe.linear_top1": (
        "probe.pixels_linear_top1",
        "probe.random_linear_top1",
        "probe.supervised_top1",
        "probe.majority_top1",
    ),
    "probe.knn_top1": ("probe.pixels_knn_top1", "probe.random_knn_top1", "probe.majority_top1"),
}
BASELINE_NAMES = {
    "pixels": "raw pixels",
    "random": "untrained encoder",
    "supervised": "supervised network of the same encoder",
    "majority": "always the commonest label",
}


def banner(text: str, *, good: bool) -> str:
    """A coloured label as Markdown."""
    width = 24 + 11 * len(text)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="36"><rect width="{width}" height="36" rx="6" '
        f'fill="{_GREEN if good else _RED}"/><text x="{width / 2}" y="24" font-family="sans-serif" font-size="18" '
        f'font-weight="bold" text-anchor="middle" fill="white">{text}</text></svg>'
    )
    return f"![{text}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _table(head: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(map(_cell, row)) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def verdict_markdown(verdict: dict[str, Any]) -> str:
    """The gate's verdict: what failed first, with the rows that failed it, then every check."""
    success, failures = bool(verdict.get("success")), verdict.get("failures", [])
    parts = [f"# The gate: {verdict.get('dataset', '')}", banner("PASSED" if success else "FAILED", good=success)]
    if failures:
        parts.append("\n".join(f"- **{failure}**" for failure in failures))
    if not success and verdict.get("allowed"):
        parts.append(banner("TRAINED ON ALL THE SAME: gate.allow_failure is set", good=False))
    checks = verdict.get("checks", [])
    for check in (check for check in checks if not check["success"] and check.get("failing_rows")):
        rows = check["failing_rows"][:_MAX_ROWS]
        parts.append(f"### {check['about']}\nFailing rows ({len(rows)} of {check.get('failing_count', len(rows)):,}):")
        parts.append(_table(("id", "file", "value"), [(row.get("id"), row.get("file"), row.get("value")) for row in rows]))
    parts.append("## Checks")
    ordered = sorted(checks, key=lambda check: bool(check["success"]))
    parts.append(
        _table(
            ("", "what must hold", "column", "observed"),
            [("ok" if c["success"] else "**FAILED**", c["about"], c.get("column") or "", c.get("observed", "")) for c in ordered],
        )
    )
    parts.append(f"{verdict.get('rows', 0):,} rows, data version `{verdict.get('data_version', '')}`")
    return "\n\n".join(parts)


def preparation_markdown(summary: dict[str, Any], rejected: Path) -> str:
    """How many pictures there are of which kind, and which files were left out and why."""
    rows: list[tuple[object, ...]] = [("pictures", summary["count"])]
    rows += [(f"split {name}", count) for name, count in summary["splits"].items()]
    rows += [("labels", ", ".join(summary["labels"]) or "none"), ("left out", summary["rejected"])]
    further = ("duplicates_dropped", "image_size", "channels", "source", "licence")
    rows += [(key.replace("_", " "), summary[key]) for key in further]
    parts = [f"# Prepared data: {summary['dataset']}", _table(("", ""), rows)]
    if rejected.is_file():
        with rejected.open(encoding="utf-8", newline="") as handle:
            left_out = [(line["file"], line["reason"]) for line in islice(csv.DictReader(handle), _MAX_ROWS)]
        if left_out:
            parts += [f"## Left out (the first {len(left_out)})", _table(("file", "reason"), left_out)]
    return "\n\n".join(parts)


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys as dotted ones."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat


def _baseline_name(key: str) -> str:
    word = key.split(".")[-1].split("_")[0]
    return BASELINE_NAMES.get(word, word)


def metrics_markdown(metrics: dict[str, Any]) -> str:
    """The figures, those that have something to stand next to first."""
    flat = flatten(metrics)
    parts, shown = ["# Metrics"], set[str]()
    for key, others in BASELINES.items():
        if key not in flat:
            continue
        baselines = [other for other in others if other in flat]
        shown.update([key, *baselines])
        rows: list[tuple[object, ...]] = [("**this encoder**", flat[key], "")]
        rows += [(_baseline_name(other), flat[other], f"{100 * (flat[key] - flat[other]):+.1f} points") for other in baselines]
        parts += [f"## {key}", _table(("", "accuracy", "this encoder against it"), rows)]
    rest = [(f"`{key}`", value) for key, value in flat.items() if key not in shown and not isinstance(value, list)]
    if rest:
        parts += ["## All others" if shown else "## Figures", _table(("", "value"), rest)]
    return "\n\n".join(parts)


def picture_markdown(path: Path) -> str:
    """A figure inside Markdown, at most FIGURE_WIDTH px wide. Pillow reads it; a file that is no picture raises OSError."""
    from PIL import Image

    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    if picture.width > FIGURE_WIDTH:
        height = max(1, round(picture.height * FIGURE_WIDTH / picture.width))
        picture = picture.resize((FIGURE_WIDTH, height), Image.Resampling.LANCZOS)
    lossless, lossy = io.BytesIO(), io.BytesIO()
    picture.save(lossless, "PNG", optimize=True)
    picture.save(lossy, "WEBP", quality=85)
    kind, data = ("png", lossless) if lossless.tell() <= 2 * lossy.tell() else ("webp", lossy)
    return f"![{path.stem}](data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()})"
