"""Training curves as inline SVG: DVC's own plots load a script from the network, and the report must open offline."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

from soda.report.format import compact
from soda.report.parts import ReportError

WIDTH, HEIGHT = 360, 200  # of the viewBox, in px at the width of half a page
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 14, 26
MAX_POINTS = 360  # more than one a pixel would only make the page heavy
SMOOTH_FROM = 60  # points; a shorter curve is drawn as it is

# Last part of the name: title, remark, whether the axis starts at 0. In the order of the page.
KNOWN: dict[str, tuple[str, str, bool]] = {
    "loss": ("Loss", "Mean squared error of the denoiser on training images.", False),
    "val_loss": ("Loss on validation images", "Of the averaged model.", False),
    "usage_gap": (
        "Use of the latent",
        "How much worse the loss is with another image’s latent; at 0 it is unused; training stops below train.min_usage_gap.",
        True,
    ),
    "z_grad_norm": ("Gradient at the latent", "Mean norm of the loss’s gradient at z.", True),
    "view_psnr": ("Expected novel views, dB", "PSNR of what is drawn in one step from pure noise, on validation pairs.", False),
    "pose_gap": ("Use of the pose", "By how many dB that falls with another view’s camera; 0 would mean unused.", True),
    "psnr": ("PSNR, dB", "Of reconstructions while training.", False),
    "lr": ("Learning rate", "Of the denoiser.", True),
    "images_per_second": ("Speed", "Images a second.", True),
}


@dataclass(frozen=True)
class Curve:
    name: str  # as logged, e.g. train/loss
    title: str
    remark: str
    svg: Markup


def read_curve(path: Path) -> list[tuple[float, float]]:
    """(step, value) pairs of a DVCLive file, by step; the last line of a repeated step counts, as a resumed run logs it again.

    Values that are not finite are left out. Raises ReportError naming the file and line.
    """
    points: dict[float, float] = {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, delimiter="\t")
        columns = [name for name in reader.fieldnames or [] if name not in ("step", "timestamp")]
        if "step" not in (reader.fieldnames or []) or not columns:
            raise ReportError(f"{path}: no curve: its columns are {reader.fieldnames}, expected step and a value")
        for row in reader:
            try:
                step, value = float(row["step"]), float(row[columns[-1]])
            except (TypeError, ValueError):
                raise ReportError(f"{path}, line {reader.line_num}: {dict(row)!r} is no pair of numbers") from None
            if math.isfinite(value):
                points[step] = value
            else:
                points.pop(step, None)
    return sorted(points.items())


def ticks(low: float, high: float, count: int = 4, *, around: bool = False) -> list[float]:
    """Round numbers from `low` to `high`, about `count` of them; `around`: the outermost enclose the range."""
    raw = (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    first, last = (math.floor, math.ceil) if around else (math.ceil, math.floor)
    slack = 1e-9 if around else -1e-9
    return [i * step for i in range(first(low / step + slack), last(high / step - slack) + 1)]


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MAX_POINTS: means of equal runs of points."""
    size = math.ceil(len(points) / MAX_POINTS)
    runs = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)) for run in runs]


def _smooth(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Centred moving mean over about a twentieth of the curve, the window shrinking towards the ends."""
    reach = max(1, len(points) // 40)
    result = []
    for i, (x, _) in enumerate(points):
        r = min(reach, i, len(points) - 1 - i)
        window = points[i - r : i + r + 1]
        result.append((x, sum(y for _, y in window) / len(window)))
    return result


def draw_curve(points: list[tuple[float, float]], title: str, from_zero: bool) -> Markup:
    """One curve with its axes; the colours come from the page's style sheet.

    points: (images, value), by images, at least two. The alternative text tells first, last and extreme values.
    """
    thin = _thin(points)
    steps, values = [x for x, _ in thin], [y for _, y in thin]
    low, high = min(values), max(values)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high == low:
        pad = abs(high) * 0.1 or 1.0
        low, high = low - pad, high + pad
    rungs = ticks(low, high, around=True)
    low, high = rungs[0], rungs[-1]
    left, right = min(0.0, min(steps)), max(steps)

    def x_of(step: float) -> float:
        return LEFT + (step - left) / (right - left) * (WIDTH - LEFT - RIGHT)

    def y_of(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def path(of: list[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{x_of(x):.1f} {y_of(y):.1f}" for x, y in of)

    described = (
        f"{title} against images: {compact(points[0][1])} at first, {compact(points[-1][1])} at the end, "
        f"least {compact(min(y for _, y in points))}, greatest {compact(max(y for _, y in points))}."
    )
    parts = [f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(described)}">']
    for tick in rungs:
        y = f"{y_of(tick):.1f}"
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y}" dy=".32em" text-anchor="end">{compact(tick)}</text>')
    marks = ticks(left, right, 3)
    for tick in marks:
        anchor = "end" if x_of(tick) > WIDTH - 40 else "middle"
        label = f"{compact(tick)} images" if tick == marks[-1] else compact(tick)
        parts.append(f'<text x="{x_of(tick):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{label}</text>')
    if len(thin) >= SMOOTH_FROM:
        parts.append(f'<path class="raw" d="{path(thin)}"/>')
        thin = _smooth(thin)
    parts.append(f'<path class="line" d="{path(thin)}"/>')
    parts.append(f'<circle class="end" cx="{x_of(thin[-1][0]):.1f}" cy="{y_of(thin[-1][1]):.1f}" r="3"/></svg>')
    return Markup("".join(parts))


def read_curves(live: Path) -> list[Curve]:
    """Every DVCLive metric below `live`, the known ones first. Their steps are images, as progress is counted.

    Curves of fewer than two points show nothing and are left out. Raises ReportError for a file that holds no curve.
    """
    folder = live / "plots" / "metrics"
    order = list(KNOWN)
    found = []
    for path in folder.rglob("*.tsv"):
        name = path.relative_to(folder).with_suffix("").as_posix()
        points = read_curve(path)
        if len(points) < 2:
            continue
        leaf = name.rsplit("/", 1)[-1]
        title, remark, from_zero = KNOWN.get(leaf, (leaf.replace("_", " ").capitalize(), "", False))
        rank = order.index(leaf) if leaf in order else len(order)
        found.append((rank, name, Curve(name, title, remark, draw_curve(points, title, from_zero))))
    return [curve for _, _, curve in sorted(found, key=lambda item: item[:2])]
