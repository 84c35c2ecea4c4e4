"""Pictures laid out to be looked at: strips and labelled grids, with Pillow alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from soda.common.files import whole_file
from soda.inference.directions import Directions

SIDE = 96
"""px of a picture on a sheet, about."""

GAP, LINE = 4, 15
INK, SOFT = (29, 28, 26), (102, 98, 91)

STRIP = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""How far pictures are moved on a sheet of directions, times the unit of each."""

Cell = np.ndarray | None
"""A picture (S, S, C) uint8, or an empty place."""


def enlarge(picture: np.ndarray, side: int) -> Image.Image:
    """(S, S, C) uint8 as RGB of about `side` px: small pictures grow by whole factors, so that pixels stay pixels."""
    image = Image.fromarray(np.repeat(picture, 3, 2) if picture.shape[2] == 1 else picture)
    size = len(picture)
    if size > side:
        return image.resize((side, side), Image.Resampling.LANCZOS)
    factor = side // size
    return image.resize((size * factor, size * factor), Image.Resampling.NEAREST)


def strip(pictures: np.ndarray, *, side: int = SIDE) -> Image.Image:
    """Pictures (N, S, S, C) in one row."""
    return grid([list(pictures)], side=side)


def grid(
    rows: Sequence[Sequence[Cell]],
    *,
    title: str = "",
    column_labels: Sequence[str] = (),  # none, or one a column
    lead_row: bool = False,
    lead_column: bool = False,
    side: int = SIDE,
) -> Image.Image:
    """A sheet of pictures, with a title and labels above the columns.

    rows: of equal length. lead_row, lead_column: the first stands apart (the originals, beside what was made of them).
    Raises ValueError for rows of different lengths and for a grid without a picture.
    """
    lengths = {len(row) for row in rows}
    first = next((cell for row in rows for cell in row if cell is not None), None)
    if len(lengths) != 1 or first is None:
        raise ValueError(f"a sheet takes rows of one length with pictures in them, not rows of {sorted(lengths)}")
    cell, font = enlarge(first, side).width, ImageFont.load_default()
    top = LINE * (bool(title) + bool(column_labels))
    lead = 3 * GAP
    xs = [GAP + i * (cell + GAP) + (lead if lead_column and i else 0) for i in range(lengths.pop())]
    ys = [top + GAP + i * (cell + GAP) + (lead if lead_row and i else 0) for i in range(len(rows))]
    sheet = Image.new("RGB", (xs[-1] + cell + GAP, ys[-1] + cell + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, 2), title, fill=INK, font=font)
    if column_labels:
        for x, text in zip(xs, column_labels, strict=True):
            draw.text((x + (cell - font.getlength(text)) / 2, top - LINE + 2), text, fill=SOFT, font=font)
    for y, row in zip(ys, rows, strict=True):
        for x, picture in zip(xs, row, strict=True):
            if picture is not None:
                sheet.paste(enlarge(picture, side), (x, y))
    return sheet


def page(sheets: Sequence[Image.Image], *, columns: int = 1, gap: int = 5 * GAP) -> Image.Image:
    """Sheets of one size, row by row in `columns` columns."""
    columns = min(columns, len(sheets))
    width, height = sheets[0].width + gap, sheets[0].height + gap
    whole = Image.new("RGB", (columns * width - gap, -(-len(sheets) // columns) * height - gap), "white")
    for i, sheet in enumerate(sheets):
        whole.paste(sheet, (i % columns * width, i // columns * height))
    return whole


def direction_sheet(
    edit: Callable[[list[dict[int | str, float]]], list[np.ndarray]],
    directions: Directions,
    units: Mapping[int | str, float],
    *,
    side: int = SIDE,
) -> Image.Image:
    """A block for each direction of `units`: rows of pictures, moved from -3 to +3 times its unit (in sigmas).

    edit: the pictures (N, S, S, C) uint8 moved by each of several amounts.
    """
    drawn = edit([{key: at * unit} for key, unit in units.items() for at in STRIP])
    blocks = []
    for i, (key, unit) in enumerate(units.items()):
        columns = np.stack(drawn[i * len(STRIP) : (i + 1) * len(STRIP)], axis=1)  # (N, 7, S, S, C)
        title = f"{directions.number(key)}  {directions[key]}"
        labels = [f"{at * unit:+g}" if at else "0" for at in STRIP]
        blocks.append(grid(list(map(list, columns)), title=title, column_labels=labels, side=side))
    return page(blocks, columns=2)


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Write a sheet as PNG, whole or not at all."""
    with whole_file(path) as temporary:
        sheet.save(temporary, format="PNG", optimize=True)
