"""Images laid out to be looked at: strips and labelled grids, with Pillow alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from soda.common.files import whole_file
from soda.inference.directions import Directions

SIDE = 96
"""px of an image on a sheet, about."""

GAP, LINE = 4, 15
INK, SOFT = (29, 28, 26), (102, 98, 91)

STRIP = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""How far images are moved on a sheet of directions, times the unit of each."""

Cell = np.ndarray | None
"""An image (S, S, C) uint8, or an empty place."""


def enlarge(image: np.ndarray, side: int) -> Image.Image:
    """(S, S, C) uint8 as RGB of about `side` px: small images grow by whole factors, so that pixels stay pixels."""
    drawn = Image.fromarray(np.repeat(image, 3, 2) if image.shape[2] == 1 else image)
    size = len(image)
    if size > side:
        return drawn.resize((side, side), Image.Resampling.LANCZOS)
    factor = side // size
    return drawn.resize((size * factor, size * factor), Image.Resampling.NEAREST)


def strip(images: np.ndarray, *, side: int = SIDE) -> Image.Image:
    """Images (N, S, S, C) in one row."""
    return grid([list(images)], side=side)


def grid(
    rows: Sequence[Sequence[Cell]],
    *,
    title: str = "",
    column_labels: Sequence[str] = (),  # none, or one a column
    lead_row: bool = False,
    lead_column: bool = False,
    side: int = SIDE,
) -> Image.Image:
    """A sheet of images, with a title and labels above the columns.

    rows: of equal length. lead_row, lead_column: the first stands apart (the originals, beside what was made of them).
    Raises ValueError for rows of different lengths and for a grid without an image.
    """
    lengths = {len(row) for row in rows}
    first = next((cell for row in rows for cell in row if cell is not None), None)
    if len(lengths) != 1 or first is None:
        raise ValueError(f"a sheet takes rows of one length with images in them, not rows of {sorted(lengths)}")
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
        for x, image in zip(xs, row, strict=True):
            if image is not None:
                sheet.paste(enlarge(image, side), (x, y))
    return sheet


def page(sheets: Sequence[Image.Image], *, columns: int = 1) -> Image.Image:
    """Sheets of one size, row by row in `columns` columns."""
    gap = 5 * GAP
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
    """A block for each direction of `units`: rows of images, moved from -3 to +3 times its unit (in sigmas).

    edit: the images (N, S, S, C) uint8 moved by each of several amounts.
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
