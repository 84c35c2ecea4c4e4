"""Objects as the model is shown them, a row each: what can be seen at a glance of data with cameras."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from soda.data.columns import FACTOR, MODEL, OBJECT
from soda.data.dataset import DatasetError, PreparedData, Split
from soda.geometry.cameras import COLUMNS as CAMERA_COLUMNS
from soda.report.figures import EmbeddedImage, embed_image
from soda.report.parts import ReportError

VIEWS = 10  # a row
MODELS = 4  # of train, each with its variants
HELD_OUT = 6  # objects
ROWS = 16  # at most of train
_OBJECT, _MODEL = FACTOR + OBJECT, FACTOR + MODEL
_CAPTION = (
    "Objects in a row each, seen by some of their cameras. The first {train} are trained on, where a model has variants directly "
    "followed by these: mirrored, stretched or recoloured, the same in all views. The last {held_out} are held out."
)


TITLE = "The objects"


def contact_sheet(prepared: Path) -> EmbeddedImage | None:
    """The sheet for the report's page; None and errors as `draw_sheet`."""
    sheet = draw_sheet(prepared)
    if sheet is None:
        return None
    file = io.BytesIO()
    sheet[0].save(file, "PNG")
    return embed_image(file.getvalue(), TITLE, sheet[1])


def draw_sheet(prepared: Path) -> tuple[Image.Image, str] | None:
    """The sheet and its caption; None for data without cameras, or that is not there. Raises ReportError for broken data."""
    manifest = prepared / "manifest.parquet"
    if not manifest.exists() or not set(CAMERA_COLUMNS) <= set(pq.read_schema(manifest).names):
        return None
    try:
        data = PreparedData(prepared)
        train, held_out = _rows(data.split("train"), MODELS, ROWS), _rows(data.split("test"), HELD_OUT, HELD_OUT)
    except DatasetError as error:
        raise ReportError(f"the contact sheet cannot be drawn: {error}") from None
    if not train + held_out:
        return None
    return Image.fromarray(np.concatenate(train + held_out)), _CAPTION.format(train=len(train), held_out=len(held_out))


def _rows(split: Split, models: int, most: int) -> list[np.ndarray]:
    """At most `most` rows (S, VIEWS * S, 3) of the objects of `models` models, evenly spread over the split."""
    named, objects = split.column(_MODEL), split.column(_OBJECT)
    known = list(dict.fromkeys(named.tolist()))
    chosen = [known[k] for k in np.linspace(0, len(known) - 1, min(models, len(known))).astype(int)] if known else []
    rows = []
    for model in chosen:
        for name in dict.fromkeys(objects[named == model].tolist()):
            images = split.gather(np.flatnonzero(objects == name)[:VIEWS])
            size = images.shape[1]
            row = np.full((size, VIEWS * size, 3), 255, np.uint8)
            row[:, : len(images) * size] = np.concatenate(list(np.broadcast_to(images, (*images.shape[:3], 3))), axis=1)
            rows.append(row)
    return rows[:most]
