"""Charts: probes beside one another, what they confuse, what sections know, reconstruction against its cost, disentanglement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from soda.viz.style import ACCENT, INK, QUIET, RULE, SOFT, chart, short

MAX_CELL_NUMBERS = 20  # classes; a larger confusion matrix shows shades alone


@dataclass(frozen=True)
class Bar:
    """One accuracy of the probe chart, in [0, 1]; `half_width` of its 95 % interval. `ours`: of the SODA latent."""

    name: str
    value: float
    half_width: float
    ours: bool


def confusion(targets: np.ndarray, predictions: np.ndarray, names: list[str], path: Path) -> np.ndarray:
    """Draw which label (row) was taken for which (column), in percent of the row; only labels that occur. Returns counts."""
    classes = np.unique(np.concatenate([targets, predictions]))
    count = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(count, (np.searchsorted(classes, targets), np.searchsorted(classes, predictions)), 1)
    share = count / np.maximum(1, count.sum(1, keepdims=True))
    kinds = len(classes)
    side = min(9.0, max(2.6, 0.48 * kinds))
    with chart(path, side, side) as figure:
        labels = [short(names[label]) for label in classes] if kinds <= 2 * MAX_CELL_NUMBERS else []
        axes = _matrix(figure, share, labels, labels, 45)
        axes.xaxis.set_label_position("top")
        axes.set_xlabel("answered", labelpad=8)
        axes.set_ylabel("true", labelpad=8)
        axes.set_xticks(np.arange(kinds + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(kinds + 1) - 0.5, minor=True)
        if labels:
            axes.grid(which="minor", color=RULE, linewidth=0.5)
        if kinds <= MAX_CELL_NUMBERS:
            for row, column in zip(*np.nonzero(count), strict=True):
                percent = 100 * share[row, column]
                text = str(int(percent + 0.5)) if percent >= 0.5 else "·"
                colour = "white" if percent > 55 else INK
                axes.text(float(column), float(row), text, ha="center", va="center", color=colour, fontsize=7.5)
        axes.tick_params(which="minor", length=0)
    return count


def probe_bars(bars: list[Bar], chance: float, path: Path) -> None:
    """Accuracies on the test split as bars with their 95 % intervals, and chance (the commonest label) as a line."""
    with chart(path, 6.6, 0.36 * len(bars) + 0.5) as figure:
        axes = figure.add_subplot()
        rows = np.arange(len(bars))
        values = np.array([bar.value for bar in bars])
        colours = [ACCENT if bar.ours else QUIET for bar in bars]
        axes.barh(rows, values, height=0.66, color=colours)
        axes.errorbar(values, rows, xerr=[bar.half_width for bar in bars], fmt="none", ecolor=INK, elinewidth=0.8, capsize=2)
        for row, bar in zip(rows, bars, strict=True):
            weight = "bold" if bar.ours else "normal"
            axes.text(bar.value + bar.half_width + 0.012, float(row), f"{100 * bar.value:.1f} %", va="center", fontweight=weight)
        axes.axvline(chance, color=SOFT, linewidth=0.8, linestyle=(0, (3, 2)))
        axes.text(chance, -0.62, " chance", color=SOFT, ha="left", va="bottom", fontsize=7.5)
        axes.set_yticks(rows, [bar.name for bar in bars])
        axes.invert_yaxis()
        axes.set_xlim(0, 1.12)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(length=0)
        axes.set_xticks([])


def section_matrix(factors: Sequence[str], by_section: np.ndarray, whole: np.ndarray, majority: np.ndarray, path: Path) -> None:
    """Accuracy of every section (row) in telling every factor (column), shaded by how far it comes from chance to all right.

    by_section: (sections, F); whole, majority: (F,), of all of z, and of always naming the commonest value.
    """
    rows = [*(f"section {k}" for k in range(len(by_section))), "all of z", "commonest value"]
    rows[0] += ", finest"
    rows[-3] += ", coarsest" if len(by_section) > 1 else ""
    values = np.vstack([by_section, whole, majority])
    room = np.where(majority < 1, 1 - majority, 1.0)
    shade = ((values - majority) / room).clip(0, 1)
    with chart(path, 1.6 + 0.62 * len(factors), 0.7 + 0.34 * len(rows)) as figure:
        axes = _matrix(figure, shade, rows, factors, 35, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if shade[row, column] > 0.55 else INK
            axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", color=colour, fontsize=7.5)
        axes.axhline(len(by_section) - 0.5, color=SOFT, linewidth=0.8)


def _matrix(
    figure: Figure, shares: np.ndarray, rows: Sequence[str], columns: Sequence[str], degrees: float, **settings: Any
) -> Any:
    """Axes with a matrix of shares as shades, without a frame; names at the left, and above, turned by so many degrees."""
    axes = figure.add_subplot()
    shades = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#a9c6e3", ACCENT])
    axes.imshow(shares, cmap=shades, vmin=0, vmax=1, interpolation="nearest", **settings)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xticks(range(len(columns)), columns, rotation=degrees, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0, labelcolor=INK)
    return axes


def cost_curves(curves: Mapping[str, Sequence[Mapping[str, float]]], path: Path) -> None:
    """PSNR, SSIM and LPIPS-like distance over the number of denoiser evaluations, a line for each way to draw, ours first."""
    measures = (("psnr", "PSNR, dB"), ("ssim", "SSIM"), ("lpips_like", "LPIPS-like, less is nearer"))
    with chart(path, 9.0, 2.5) as figure:
        for place, (key, title) in enumerate(measures):
            axes = figure.add_subplot(1, 3, place + 1)
            for colour, (name, line) in zip((ACCENT, QUIET), curves.items(), strict=True):
                points = [each["evaluations"] for each in line], [each[key] for each in line]
                axes.plot(*points, marker="o", markersize=3, color=colour, label=name)
            axes.set_xscale("log")
            places = [p for p in (5, 10, 20, 50, 100, 200, 400) if p <= max(axes.get_xlim())]
            axes.set_xticks(places, [str(p) for p in places])
            axes.minorticks_off()
            axes.set_title(title, fontsize=8.5, color=INK, loc="left")
            axes.set_xlabel("denoiser evaluations a picture")
        figure.axes[0].legend(frameon=False, fontsize=7.5)
        figure.tight_layout()


def disentanglement_bars(scores: dict[str, dict[str, float]], ours: str, path: Path) -> None:
    """One group of bars a measure, one bar a representation. scores: representation -> measure -> [0, 1]."""
    measures = list(next(iter(scores.values())))
    with chart(path, 1.5 * len(measures) + 1.5, 2.6) as figure:
        axes = figure.add_subplot()
        width = 0.8 / len(scores)
        greys = ["#b9b3a8", "#8d8880", "#d8d3ca", "#6f6a63"]
        others = [name for name in scores if name != ours]
        for k, (name, values) in enumerate(scores.items()):
            colour = ACCENT if name == ours else greys[others.index(name) % len(greys)]
            places = np.arange(len(measures)) + (k - (len(scores) - 1) / 2) * width
            axes.bar(places, [values[m] for m in measures], width=0.92 * width, color=colour, label=name)
            for x, m in zip(places, measures, strict=True):
                axes.text(x, values[m] + 0.01, f"{values[m]:.2f}", ha="center", va="bottom", fontsize=6.5, color=SOFT)
        axes.set_xticks(range(len(measures)), measures)
        axes.set_ylim(0, 1.12)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=0, labelcolor=INK)
        axes.legend(frameon=False, fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=len(scores))
