"""The latents in the plane: as points coloured by label, and as images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from soda.viz.grids import Sheet, thumbnail
from soda.viz.style import QUIET, chart, save, short

MAX_MAP = 1500  # images on the map: t-SNE takes 5 to 10 s for them on two cores
WIDTH = 1782  # px of the map of images, about
MAX_COLOURS = 20  # labels; with more, colours no longer tell them apart


def plane(z: np.ndarray, seed: int) -> np.ndarray:
    """Latents (N, D) in the plane: (N, 2). PCA to 50 components, then t-SNE; PCA alone below 10 or above MAX_MAP."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    count = len(z)
    spread = z.std(0)
    z = (z - z.mean(0)) / np.where(spread > 0, spread, 1)
    if count < 3 or not spread.any():
        return np.pad(z, ((0, 0), (0, 2)))[:, :2]
    reduced = PCA(min(50, count - 1, z.shape[1]), svd_solver="full").fit_transform(z)
    reduced = np.pad(reduced, ((0, 0), (0, 2)))  # at least two columns
    if not 10 <= count <= MAX_MAP:
        return reduced[:, :2]
    start = reduced[:, :2] / (reduced[:, 0].std() or 1) * 1e-4
    return TSNE(perplexity=min(30.0, (count - 1) / 3), init=start, random_state=seed, max_iter=750).fit_transform(reduced)


def palette(count: int) -> list[str]:
    """`count` colours that differ on white, at most MAX_COLOURS."""
    ten = ["#1f5c99", "#e07b00", "#2f8f4e", "#c0262d", "#7b4fb0", "#8a5a3c", "#d9569b", "#6b7280", "#a8a400", "#159fb0"]
    light = ["#8fb8de", "#f5bf7a", "#9fd3ae", "#eb9a9e", "#c3aee0", "#ccb09c", "#f0b3d4", "#c3c7cd", "#dcda85", "#8fd8e1"]
    return (ten + light)[:count]


def can_be_coloured(labels: np.ndarray) -> bool:
    """Whether there are labels, and few enough for colours to tell them apart. labels: (N,) int64, -1 for none."""
    return 1 <= len(np.unique(labels[labels >= 0])) <= MAX_COLOURS


def latent_map(points: np.ndarray, labels: np.ndarray, names: list[str], path: Path) -> None:
    """Points (N, 2) coloured by label, the legend outside. labels: (N,) int64, -1 for none, that `can_be_coloured`."""
    present = [int(label) for label in np.unique(labels) if label >= 0]
    with chart(path, 7.2, 5.6) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        unlabelled = labels < 0
        name = "no label" if unlabelled.any() else None
        axes.scatter(points[unlabelled, 0], points[unlabelled, 1], s=7, color=QUIET, linewidths=0, label=name)
        for label, colour in zip(present, palette(len(present)), strict=True):
            here = labels == label
            axes.scatter(points[here, 0], points[here, 1], s=9, color=colour, alpha=0.85, linewidths=0, label=short(names[label]))
        axes.set_aspect("equal", adjustable="box")
        axes.margins(0.01)
        axes.axis("off")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, markerscale=2.4, handletextpad=0.3)


def image_map(points: np.ndarray, images: np.ndarray, path: Path) -> None:
    """Thumbnails near their points (N, 2): the plane is cut in cells, each showing the image nearest to its centre.

    images: (N, S, S, C) uint8. The fewer, the larger.
    """
    columns = int(np.clip(round(2 * np.sqrt(len(points))), 6, 27))
    rows, cell = round(0.7 * columns), WIDTH // columns
    low, high = points.min(0), points.max(0)
    place = (points - low) / np.where(high > low, high - low, 1) * (np.array([columns, rows]) - 1)
    cells = place.round().astype(int)
    nearest: dict[tuple[int, int], tuple[float, int]] = {}
    for i, (column, row) in enumerate(cells):
        distance = float(np.square(place[i] - cells[i]).sum())
        if distance < nearest.get((column, row), (np.inf, 0))[0]:
            nearest[column, row] = (distance, i)
    sheet = Sheet(columns * cell, rows * cell)
    for (column, row), (_, i) in nearest.items():
        tile = thumbnail(images[i], cell - 2)
        sheet.put(tile, column * cell + (cell - len(tile)) // 2, (rows - 1 - row) * cell + (cell - len(tile)) // 2)
    save(sheet.figure()[0], path)
