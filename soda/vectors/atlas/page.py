"""The page of `soda map`: one .html file with everything inside. It asks no network for anything."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import IO

import numpy as np

from soda.common.files import whole_file
from soda.runtime.names import one_line
from soda.runtime.preprocess import MAX_PIXELS
from soda.vectors.atlas.shrunk import shrunk
from soda.vectors.atlas.tiles import SHEET, sheets, side_for
from soda.vectors.cluster import Clusters
from soda.vectors.store import Vectors

MOST = 100_000
"""Pictures on a map."""

_SCRIPTS = ("data.js", "drawing.js", "view.js", "panel.js", "main.js")


@dataclass(frozen=True)
class Map:
    """vectors: n of them; places: (n, 2) float32; clusters: of the vectors; title: of the page."""

    vectors: Vectors
    places: np.ndarray
    clusters: Clusters
    title: str


def write_map(path: Path, shown: Map, *, max_pixels: int = MAX_PIXELS) -> int:
    """Write the page, whole or not at all; returns how many pictures cannot be read: grey tiles stand for them."""
    order = along_curve(shown.places)
    vectors, count = shown.vectors, len(order)
    side, missing, colours = side_for(count), 0, list[np.ndarray]()
    place_of = np.empty(count, np.int64)
    place_of[order] = np.arange(count)
    kinds = range(len(shown.clusters.centres))
    about = {
        "title": shown.title,
        "folder": vectors.origin.folder,
        "names": [one_line(vectors.files[row]) for row in order],
        "side": side,
        "sheet": SHEET,
        "medoids": [int(place_of[shown.clusters.members(kind)[0]]) for kind in kinds],
    }
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as page:
        page.write(_text("page.html").replace("{title}", html.escape(shown.title)).replace("{style}", _text("page.css")))
        _json(page, "about", about)
        _binary(page, "places", shown.places[order].astype("<f4"))
        _binary(page, "clusters", shown.clusters.labels[order].astype("<u2"))
        _binary(page, "vectors", shrunk(vectors.z)[order])
        for number, sheet in enumerate(sheets([vectors.path(int(row)) for row in order], side, max_pixels)):
            _binary(page, f"sheet-{number}", np.frombuffer(sheet.jpeg, np.uint8))
            colours.append(sheet.colours)
            missing += sheet.missing
        _binary(page, "colours", np.concatenate(colours))
        page.write("<script>\n'use strict';\n" + "\n".join(_text(name) for name in _SCRIPTS) + "</script>\n</body></html>\n")
    return missing


def along_curve(places: np.ndarray, bits: int = 10) -> np.ndarray:
    """Rows of places (n, 2) in the order of a Z-shaped curve (Morton 1966): what lies close is on few sheets."""
    low, high = places.min(0), places.max(0)
    grid = ((places - low) / np.maximum(high - low, 1e-9) * ((1 << bits) - 1)).astype(np.int64)
    code = np.zeros(len(places), np.int64)
    for bit in range(bits):
        code |= ((grid[:, 0] >> bit) & 1) << (2 * bit) | ((grid[:, 1] >> bit) & 1) << (2 * bit + 1)
    return np.argsort(code, kind="stable")


def _text(name: str) -> str:
    return files("soda.vectors.atlas").joinpath(name).read_text(encoding="utf-8")


def _json(page: IO[str], key: str, value: object) -> None:
    text = json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")  # no name ends the script
    page.write(f'<script type="application/json" id="{key}">{text}</script>\n')


def _binary(page: IO[str], key: str, values: np.ndarray) -> None:
    text = base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
    page.write(f'<script type="text/plain" id="{key}">{text}</script>\n')


def rows_at_most(vectors: Vectors, most: int, seed: int = 0) -> Sequence[int]:
    """All rows, or `most` of them drawn at random."""
    if len(vectors.files) <= most:
        return range(len(vectors.files))
    rows: list[int] = np.sort(np.random.default_rng(seed).choice(len(vectors.files), most, replace=False)).tolist()
    return rows
