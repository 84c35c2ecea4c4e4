"""Pictures laid out to be looked at: strips and labelled grids, with Pillow alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 96
"""px of a picture on a sheet, about."""

GAP = 4
INK, SOFT = (29, 28, 26), (102, 98, 91)

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
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    lead_row: bool = False,
    lead_column: bool = False,
    side: int = SIDE,
) -> Image.Image:
    """A sheet of pictures, labelled on the left and above.

    rows: of equal length. lead_row, lead_column: the first stands apart (the originals, beside what was made of them).
    Raises ValueError for rows of different lengths and for a grid without a picture.
    """
    lengths = {len(row) for row in rows}
    first = next((cell for row in rows for cell in row if cell is not None), None)
    if len(lengths) != 1 or first is None:
        raise ValueError(f"a sheet wants rows of one length with pictures in them, not rows of {sorted(lengths)}")
    cell, font = enlarge(first, side).width, ImageFont.load_default()
    left = max((int(font.getlength(text)) + 3 * GAP for text in row_labels), default=0)
    top = 16 if column_labels else 0
    lead = 3 * GAP
    xs = [left + GAP + i * (cell + GAP) + (lead if lead_column and i else 0) for i in range(lengths.pop())]
    ys = [top + GAP + i * (cell + GAP) + (lead if lead_row and i else 0) for i in range(len(rows))]
    sheet = Image.new("RGB", (xs[-1] + cell + GAP, ys[-1] + cell + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for y, text in zip(ys, row_labels, strict=False):
        draw.text((GAP, y + cell / 2), text, fill=INK, font=font, anchor=_anchor(font, "lm"))
    for x, text in zip(xs, column_labels, strict=False):
        draw.text((x + cell / 2, top), text, fill=SOFT, font=font, anchor=_anchor(font, "mb"))
    for y, row in zip(ys, rows, strict=True):
        for x, picture in zip(xs, row, strict=True):
            if picture is not None:
                sheet.paste(enlarge(picture, side), (x, y))
    return sheet


def _anchor(font: object, anchor: str) -> str | None:
    return anchor if isinstance(font, ImageFont.FreeTypeFont) else None  # Pillow's bitmap font knows none


def stack(sheets: Sequence[Image.Image], *, gap: int = 4 * GAP) -> Image.Image:
    """Sheets one below the other."""
    width, height = max(sheet.width for sheet in sheets), sum(sheet.height + gap for sheet in sheets) - gap
    page, y = Image.new("RGB", (width, height), "white"), 0
    for sheet in sheets:
        page.paste(sheet, (0, y))
        y += sheet.height + gap
    return page
