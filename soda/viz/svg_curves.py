"""A curve as inline SVG, which opens offline; the colours come from the style sheet of the page that it stands in."""

from __future__ import annotations

import math

from markupsafe import Markup, escape

WIDTH, HEIGHT = 360, 200  # of the viewBox, in px at the width of half a page
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 14, 26
MAX_POINTS = 360  # more than one a pixel would only make the page heavy
SMOOTH_FROM = 60  # points; a shorter curve is drawn as it is


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
    """One curve with its axes.

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


def compact(value: float) -> str:
    """Short, for axes: 150k · 1.2M · 0.002 · 2e-5."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    text = f"{value:.3g}"
    if 0 < abs(value) < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        text = f"{float(mantissa):g}e{int(exponent)}"
    return text
