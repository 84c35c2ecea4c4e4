"""Colours and type of all figures, and how they are written: PNG at twice the density of a screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

DPI = 200
INK, SOFT, RULE, ACCENT, QUIET, WARN = "#1d1c1a", "#66625b", "#e4e0d8", "#1f5c99", "#b9b3a8", "#d9480f"
MAX_NAME = 22  # characters of a label's name
STYLE: Any = {
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "xtick.color": SOFT,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
}


def save(figure: Figure, path: Path) -> None:
    """Write a PNG; the same figure gives the same bytes. Labels that stick out widen the picture instead of being cut."""
    with matplotlib.rc_context(STYLE):
        figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.06, metadata={"Software": None})


@contextmanager
def chart(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches to be filled in the style of all, which is then saved."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=100)
        yield figure
        save(figure, path)


def short(name: str) -> str:
    """The name of a label, cut to MAX_NAME characters."""
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"
