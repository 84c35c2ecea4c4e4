"""Images to look at: originals over reconstructions, neighbours in latent space, mixes, moves along attribute directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from soda.viz.sheets import enlarge
from soda.viz.style import ACCENT, DPI, INK, SOFT, STYLE, WARN, save


def thumbnail(image: np.ndarray, side: int = 96) -> np.ndarray:
    """(S, S, C) uint8 -> (about side, about side, 3) uint8: small images grow by whole factors, large ones shrink to `side`."""
    return np.asarray(enlarge(image, side))


def spread_picks(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """At most `count` positions, drawn at random but each label in turn, so that every one is seen. labels: (N,) -> (n,)."""
    order = np.random.default_rng(seed).permutation(len(labels))
    turn = np.zeros(len(labels), np.int64)  # how many of its own label came before it
    for label in np.unique(labels):
        members = order[labels[order] == label]
        turn[members] = np.arange(len(members))
    by_turn = order[np.lexsort((labels[order], turn[order]))]
    return by_turn[:count]


class Sheet:
    """A white sheet on which thumbnails are laid out in pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.pixels = np.full((height, width, 3), 255, np.uint8)

    def put(self, tile: np.ndarray, x: int, y: int, frame: str | None = None, line: int = 4) -> None:
        """Lay `tile` with its upper left corner at (x, y), within a frame of `line` px where one is wanted."""
        height, width = tile.shape[:2]
        if frame:
            colour = (np.asarray(matplotlib.colors.to_rgb(frame)) * 255).round().astype(np.uint8)
            self.pixels[y - line : y + height + line, x - line : x + width + line] = colour
        self.pixels[y : y + height, x : x + width] = tile

    def figure(self) -> tuple[Figure, Any]:
        """The sheet as a figure, pixel for pixel, and its axes: data coordinates are pixels."""
        height, width = self.pixels.shape[:2]
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
            axes = figure.add_axes((0, 0, 1, 1))
            axes.imshow(self.pixels, interpolation="none", extent=(0, width, height, 0))
            axes.axis("off")
        return figure, axes


def reconstruction_grid(originals: np.ndarray, samples: list[np.ndarray], path: Path) -> None:
    """Originals (N, S, S, C) uint8 in rows of 12, and under each what was drawn from its z, one row for every sample."""
    tiles = [[thumbnail(image, 128) for image in group] for group in (originals, *samples)]
    cell, columns = len(tiles[0][0]), min(12, len(originals))
    gap, band_gap, first_gap = cell // 16 + 2, cell // 3, cell // 10 + 4
    bands = -(-len(originals) // columns)
    band = (len(tiles) - 1) * (cell + gap) + cell + first_gap
    sheet = Sheet(columns * (cell + gap) - gap, bands * band + (bands - 1) * band_gap)
    rows = [row * (cell + gap) + (first_gap if row else 0) for row in range(len(tiles))]
    for row, group in enumerate(tiles):
        for i, tile in enumerate(group):
            sheet.put(tile, i % columns * (cell + gap), i // columns * (band + band_gap) + rows[row])
    figure, axes = sheet.figure()
    labels = [("original", INK), ("from z", ACCENT), *[("again", SOFT)] * len(tiles)]
    for b in range(bands):
        for y, (text, colour) in zip(rows, labels, strict=False):
            middle = b * (band + band_gap) + y + cell / 2
            axes.text(-14, middle, text, ha="right", va="center", color=colour, clip_on=False)
    save(figure, path)


def neighbour_rows(queries: np.ndarray, found: np.ndarray, wrong: np.ndarray | None, path: Path) -> None:
    """Rows of a query and its neighbours. queries: (N, S, S, C), found: (N, k, S, S, C) uint8.

    wrong: (N, k) bool, the neighbours that carry another label than the query and get a frame; None without labels.
    """
    count, k = found.shape[:2]
    columns = min(2, count)
    cell = len(thumbnail(queries[0]))
    gap, query_gap, block_gap = cell // 10 + 2, cell // 4, cell // 2
    block = (k + 1) * (cell + gap) - gap + query_gap
    rows = -(-count // columns)
    margin = 6  # so that a frame at the edge stays on the sheet
    sheet = Sheet(columns * block + (columns - 1) * block_gap + 2 * margin, rows * (cell + gap) - gap + 2 * margin)
    for i in range(count):
        x, y = margin + i // rows * (block + block_gap), margin + i % rows * (cell + gap)
        sheet.put(thumbnail(queries[i]), x, y)
        for j in range(k):
            left = x + (j + 1) * (cell + gap) + query_gap
            sheet.put(thumbnail(found[i, j]), left, y, WARN if wrong is not None and wrong[i, j] else None)
    figure, axes = sheet.figure()
    for b in range(columns):
        left = margin + b * (block + block_gap)
        axes.text(left, -10, "query", va="bottom", color=INK, clip_on=False)
        axes.text(left + cell + gap + query_gap, -10, "nearest in training", va="bottom", color=SOFT, clip_on=False)
    if wrong is not None and wrong.any():
        below = len(sheet.pixels) + 8
        axes.text(margin, below, "framed: another label than the query's", va="top", color=WARN, clip_on=False)
    save(figure, path)


def mix_grid(styles: np.ndarray, contents: np.ndarray, mixes: np.ndarray, path: Path) -> None:
    """styles: (K, S, S, C) in the top row, contents: (N, ...) in the left column, mixes: (N, K, ...) where they meet."""
    cell = len(thumbnail(styles[0]))
    gap, first = cell // 16 + 2, cell // 4
    xs, ys = ([0, *((k + 1) * (cell + gap) + first for k in range(count))] for count in (len(styles), len(contents)))
    sheet = Sheet(xs[-1] + cell + gap, ys[-1] + cell + gap)
    rows = [[None, *styles], *([content, *mixed] for content, mixed in zip(contents, mixes, strict=True))]
    for y, row in zip(ys, rows, strict=True):
        for x, image in zip(xs, row, strict=True):
            if image is not None:
                sheet.put(thumbnail(image), x, y)
    figure, axes = sheet.figure()
    axes.text(cell + gap + first, -10, "style from", va="bottom", color=INK, clip_on=False)
    axes.text(0, cell + gap + first - 6, "content from", va="bottom", color=INK, clip_on=False)
    save(figure, path)


def attribute_strips(strips: np.ndarray, titles: list[str], ends: float, path: Path) -> None:
    """One row a title: strips (rows, P, T, S, S, C), P images moved along a direction, T steps from -ends to +ends sigma."""
    rows, images, steps = strips.shape[:3]
    cell = len(thumbnail(strips[0, 0, 0]))
    gap, block_gap = cell // 16 + 2, cell // 3
    block = steps * (cell + gap) - gap + block_gap
    sheet = Sheet(images * block - block_gap, rows * (cell + gap) - gap)
    for row, p, step in np.ndindex(rows, images, steps):
        sheet.put(thumbnail(strips[row, p, step]), p * block + step * (cell + gap), row * (cell + gap))
    figure, axes = sheet.figure()
    for row, title in enumerate(titles):
        axes.text(-14, row * (cell + gap) + cell / 2, title, ha="right", va="center", color=INK, clip_on=False)
    for p in range(images):
        left, right = p * block, p * block + steps * (cell + gap) - gap
        axes.text(left, -10, f"−{ends:g} σ", va="bottom", color=SOFT, clip_on=False)
        axes.text(right, -10, f"+{ends:g} σ", ha="right", va="bottom", color=SOFT, clip_on=False)
    save(figure, path)
