"""Pictures of the gallery: mixes as a grid, attributes as strips, sections by factor, and measures against evaluations."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from soda.evaluation.reconstruction_cost import Cost
from soda.evaluation.sections import SectionProbes
from soda.viz.grids import ACCENT, INK, QUIET, SOFT, STYLE, Sheet, save, thumbnail

SIDE = 96


def section_matrix(probes: SectionProbes, path: Path) -> None:
    """Accuracy of every section (row) in telling every factor (column), shaded by how far it comes from chance to all right."""
    rows = [*(f"section {k}" for k in range(len(probes.by_section))), "all of z", "commonest value"]
    rows[0] += ", finest"
    rows[-3] += ", coarsest" if len(probes.by_section) > 1 else ""
    values = np.vstack([probes.by_section, probes.whole, probes.majority])
    room = np.where(probes.majority < 1, 1 - probes.majority, 1.0)
    shade = ((values - probes.majority) / room).clip(0, 1)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.6 + 0.62 * len(probes.factors), 0.7 + 0.34 * len(rows)), dpi=100)
        axes = figure.add_subplot()
        shades = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#a9c6e3", ACCENT])
        axes.imshow(shade, cmap=shades, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_xticks(range(len(probes.factors)), probes.factors, rotation=35, ha="left", rotation_mode="anchor")
        axes.xaxis.tick_top()
        axes.set_yticks(range(len(rows)), rows)
        axes.tick_params(length=0, labelcolor=INK)
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if shade[row, column] > 0.55 else INK
            axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", color=colour, fontsize=7.5)
        axes.axhline(len(probes.by_section) - 0.5, color=SOFT, linewidth=0.8)
        for spine in axes.spines.values():
            spine.set_visible(False)
    save(figure, path)


def mix_grid(styles: np.ndarray, contents: np.ndarray, mixes: np.ndarray, path: Path) -> None:
    """styles: (K, S, S, C) in the top row, contents: (N, ...) in the left column, mixes: (N, K, ...) where they meet."""
    cell = len(thumbnail(styles[0], SIDE))
    gap, first = cell // 16 + 2, cell // 4
    height, width = len(contents), len(styles)
    sheet = Sheet((width + 1) * (cell + gap) + first, (height + 1) * (cell + gap) + first)
    for k, picture in enumerate(styles):
        sheet.put(thumbnail(picture, SIDE), (k + 1) * (cell + gap) + first, 0)
    for n, picture in enumerate(contents):
        y = (n + 1) * (cell + gap) + first
        sheet.put(thumbnail(picture, SIDE), 0, y)
        for k in range(width):
            sheet.put(thumbnail(mixes[n, k], SIDE), (k + 1) * (cell + gap) + first, y)
    figure, axes = sheet.figure()
    axes.text(cell + gap + first, -10, "style from", va="bottom", color=INK, clip_on=False)
    axes.text(0, cell + gap + first - 6, "content from", va="bottom", color=INK, clip_on=False)
    save(figure, path)


def attribute_strips(strips: np.ndarray, titles: list[str], ends: float, path: Path) -> None:
    """One row a title: strips (rows, P, T, S, S, C), P pictures moved along a direction, T steps from -ends to +ends sigma."""
    rows, pictures, steps = strips.shape[:3]
    cell = len(thumbnail(strips[0, 0, 0], SIDE))
    gap, block_gap = cell // 16 + 2, cell // 3
    block = steps * (cell + gap) - gap + block_gap
    sheet = Sheet(pictures * block - block_gap, rows * (cell + gap) - gap)
    for row in range(rows):
        for p in range(pictures):
            for step in range(steps):
                sheet.put(thumbnail(strips[row, p, step], SIDE), p * block + step * (cell + gap), row * (cell + gap))
    figure, axes = sheet.figure()
    for row, title in enumerate(titles):
        axes.text(-14, row * (cell + gap) + cell / 2, title, ha="right", va="center", color=INK, clip_on=False)
    for p in range(pictures):
        left, right = p * block, p * block + steps * (cell + gap) - gap
        axes.text(left, -10, f"−{ends:g} σ", va="bottom", color=SOFT, clip_on=False)
        axes.text(right, -10, f"+{ends:g} σ", ha="right", va="bottom", color=SOFT, clip_on=False)
    save(figure, path)


def cost_curves(stochastic: dict[int, Cost], exact: dict[int, Cost], path: Path) -> None:
    """PSNR, SSIM and LPIPS-like distance over the number of denoiser evaluations, from z alone and exact."""
    measures = (("psnr", "PSNR, dB"), ("ssim", "SSIM"), ("lpips_like", "LPIPS-like, less is nearer"))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 2.5), dpi=100)
        for place, (key, title) in enumerate(measures):
            axes = figure.add_subplot(1, 3, place + 1)
            for costs, colour, name in ((stochastic, ACCENT, "z alone"), (exact, QUIET, "z and inverted noise")):
                line = list(costs.values())
                axes.plot(
                    [c.evaluations for c in line],
                    [getattr(c, key) for c in line],
                    marker="o",
                    markersize=3,
                    color=colour,
                    label=name,
                )
            axes.set_xscale("log")
            places = [p for p in (5, 10, 20, 50, 100, 200, 400) if p <= max(axes.get_xlim())]
            axes.set_xticks(places, [str(p) for p in places])
            axes.minorticks_off()
            axes.set_title(title, fontsize=8.5, color=INK, loc="left")
            axes.set_xlabel("denoiser evaluations a picture")
        figure.axes[0].legend(frameon=False, fontsize=7.5)
        figure.tight_layout()
    save(figure, path)


def disentanglement_bars(scores: dict[str, dict[str, float]], ours: str, path: Path) -> None:
    """One group of bars a measure, one bar a representation. scores: representation -> measure -> [0, 1]."""
    measures = list(next(iter(scores.values())))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.5 * len(measures) + 1.5, 2.6), dpi=100)
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
    save(figure, path)
