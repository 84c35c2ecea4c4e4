"""Draws docs/images/architecture.png: the rooms of the house and which imports which, read from the code.

    make architecture                       # or: python docs/architecture.py
    python docs/architecture.py --check     # fails when the committed image is of other imports

A room is a package of soda, or flows. An arrow that follows from others is left out: where a imports b and b imports c, a may
import c, too. Rooms that load no torch have another colour.
"""

from __future__ import annotations

import argparse
import json
import sys
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import grimp
from matplotlib import pyplot
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Curve
from PIL import Image

ROOT = Path(__file__).parents[1]
IMAGE = ROOT / "docs/images/architecture.png"
ENTRANCE = "cli"  # with the other modules that lie beside the packages
WIDTH, HEIGHT, GAP, STEP = 1.6, 0.5, 0.25, 1.0
LIGHT, HEAVY = "#dcefe2", "#e3e9f5"
Arrows = dict[str, set[str]]
Spot = str | tuple[str, str, int]


def rooms() -> tuple[Arrows, set[str]]:
    """(room -> rooms it imports, rooms that load no torch)."""
    graph = grimp.build_graph("soda", "flows", include_external_packages=True, exclude_type_checking_imports=True)
    edges: Arrows = {}
    heavy = set()
    for module in graph.modules - {"torch"}:
        if room := _room(module):
            below = {_room(imported) for imported in graph.find_modules_directly_imported_by(module)}
            edges.setdefault(room, set()).update(other for other in below if other and other != room)
            if "torch" in graph.modules and graph.chain_exists(importer=module, imported="torch"):
                heavy.add(room)
    return edges, set(edges) - heavy


def _room(module: str) -> str:
    top, *parts = module.split(".")
    if top != "soda" or parts[:1] == ["layout"]:  # which has paths alone
        return top if top == "flows" else ""
    return parts[0] if parts and (ROOT / "soda" / parts[0]).is_dir() else ENTRANCE


def reduced(edges: Arrows) -> Arrows:
    """Without the arrows that follow from others. Raises graphlib.CycleError where rooms import one another."""
    below: Arrows = {}
    for room in TopologicalSorter(edges).static_order():
        below[room] = edges[room].union(*(below[other] for other in edges[room]))
    return {room: {o for o in others if not any(o in below[p] for p in others)} for room, others in edges.items()}


def rows_of(arrows: Arrows) -> tuple[list[list[Spot]], dict[Spot, set[Spot]]]:
    """(rows from the bottom, what each spot is joined to).

    A room lies just above the highest that it imports. An arrow that passes a row has a spot of its own there, (from, to, row),
    so that it goes between the rooms.
    """
    level: dict[str, int] = {}
    for room in TopologicalSorter(arrows).static_order():
        level[room] = 1 + max((level[other] for other in arrows[room]), default=-1)
    rows: list[list[Spot]] = [sorted(room for room in level if level[room] == k) for k in range(max(level.values()) + 1)]
    joined: dict[Spot, set[Spot]] = {room: set() for room in arrows}
    for room, others in sorted(arrows.items()):
        for other in sorted(others):
            way = route(room, other, level[room], level[other])
            for spot in way[1:-1]:
                rows[spot[2]].append(spot)  # type: ignore[arg-type]
            for a, b in pairwise(way):
                joined.setdefault(a, set()).add(b)
                joined.setdefault(b, set()).add(a)
    return rows, joined


def route(room: str, other: str, top: int, bottom: int) -> list[Spot]:
    """The spots that an arrow passes, from its room to the other."""
    return [room, *((room, other, k) for k in range(top - 1, bottom, -1)), other]


def half(spot: Spot) -> float:
    """Half of the width of a room, or of the room that an arrow takes."""
    return WIDTH / 2 if isinstance(spot, str) else 0.1


def places(arrows: Arrows) -> dict[Spot, tuple[float, float]]:
    """Spot -> (x, y) of its middle; rows are ordered and shifted so that arrows stay short and straight."""
    rows, joined = rows_of(arrows)
    x: dict[Spot, float] = {}
    for row in rows:
        x |= {spot: 2.0 * k for k, spot in enumerate(row)}
    for _ in range(60):
        for row in rows:
            ideal = {spot: sum(x[other] for other in joined[spot]) / max(1, len(joined[spot])) for spot in row}
            row.sort(key=lambda spot: ideal[spot])
            apart = [ideal[row[0]]]
            for before, spot in pairwise(row):
                apart.append(max(ideal[spot], apart[-1] + half(before) + half(spot) + GAP))
            shift = sum(ideal[spot] - at for spot, at in zip(row, apart, strict=True)) / len(row)
            x.update({spot: at + shift for spot, at in zip(row, apart, strict=True)})
    return {spot: (x[spot], STEP * k) for k, row in enumerate(rows) for spot in row}


def draw(arrows: Arrows, light: set[str], path: Path) -> None:
    """The image; its arrows stand in the file's metadata, too, for `--check`."""
    at = places(arrows)
    xs, ys = zip(*at.values(), strict=True)
    figure, axes = pyplot.subplots(figsize=(0.8 * (max(xs) - min(xs) + 2.2), 0.8 * (max(ys) + 1)))
    for room, others in sorted(arrows.items()):
        for other in sorted(others):
            top, bottom = (round(at[spot][1] / STEP) for spot in (room, other))
            points = [at[spot] for spot in route(room, other, top, bottom)]
            points[0], points[-1] = (points[0][0], points[0][1] - HEIGHT / 2), (points[-1][0], points[-1][1] + HEIGHT / 2)
            axes.add_patch(FancyArrowPatch(path=_smooth(points), arrowstyle="-|>", mutation_scale=10, color="#8793a8", zorder=1))
    for room in arrows:
        (x, y), colour = at[room], LIGHT if room in light else HEAVY
        shape = FancyBboxPatch((x - WIDTH / 2, y - HEIGHT / 2), WIDTH, HEIGHT, "round,pad=0,rounding_size=0.1")
        shape.set(facecolor=colour, edgecolor="#5b6880", zorder=2)
        axes.add_patch(shape)
        axes.text(x, y, room, ha="center", va="center", fontsize=12, zorder=3)
    axes.set(xlim=(min(xs) - 1.1, max(xs) + 1.1), ylim=(min(ys) - 0.5, max(ys) + 0.5), aspect="equal")
    axes.axis("off")
    figure.savefig(path, dpi=120, bbox_inches="tight", pad_inches=0.05, metadata={"Arrows": written(arrows), "Software": None})


def _smooth(points: list[tuple[float, float]]) -> Curve:
    """A curve through the points that leaves and enters every row straight down."""
    vertices, codes = [points[0]], [Curve.MOVETO]
    for (x_0, y_0), (x_1, y_1) in pairwise(points):
        middle = (y_0 + y_1) / 2
        vertices += [(x_0, middle), (x_1, middle), (x_1, y_1)]
        codes += [Curve.CURVE4] * 3
    return Curve(vertices, codes)


def written(arrows: Arrows) -> str:
    """The arrows as one line of JSON, always in the same order."""
    return json.dumps({room: sorted(others) for room, others in sorted(arrows.items())})


def main(argv: list[str] | None = None) -> None:
    """Draw, or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the image is of today's imports")
    check = parser.parse_args(argv).check
    edges, light = rooms()
    arrows = reduced(edges)
    if not check:
        draw(arrows, light, IMAGE)
    elif Image.open(IMAGE).info.get("Arrows") != written(arrows):
        sys.exit(f"{IMAGE.name} is of other imports: make architecture")


if __name__ == "__main__":
    main()
