"""Shipping a finished run: zoo/NAME with weights, ONNX files and card, docs/results/NAME.json, its images and the pages that show it."""

from __future__ import annotations

import csv
import datetime
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image

from soda.common.files import whole_file, whole_folder
from soda.config import Config
from soda.data.dataset import PreparedData
from soda.evaluation.registry import Figure, Measure
from soda.export import ExportError
from soda.export.variants import LIST
from soda.inference.directions import usable_file
from soda.report.card import Shipped, card
from soda.report.gallery_document import keep_images, shipped_figures, write_gallery
from soda.report.parts import read_metrics
from soda.report.presentation import Measured, read_measured
from soda.report.results import write_headlines
from soda.runtime import Decoder, Encoder, ModelError
from soda.training.checkpoint import load_model, model_metadata

MAX_BYTES, MAX_BYTES_POSED = 10_000_000, 15_000_000  # the latter of models that are told of cameras
"""Of a shipped folder: the repository carries it."""

COLOURS = 64  # of the card's image
CREDITS = "credits.csv"


def ship(name: str, root: Path = Path(), *, made_by: str = "") -> dict[str, Any]:
    """Copy the finished run of the project in `root` to zoo/NAME with its card, its metrics and figures to docs/, and renew the
    gallery and the README's table. made_by: the command that made the run, for the card; the caller knows.

    Returns folder, bytes, files and the models of the gallery. Raises ExportError or ReportError when a part is missing, a file was
    not exported from this model's data, or the folder would exceed MAX_BYTES; what was shipped before then stays.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise ExportError(f"{name!r}: a shipped model's name has lower-case letters, digits, - and _ alone")
    model_dir, metrics, figures = root / MODEL, root / METRICS, root / FIGURES
    _, config = load_model(model_dir)
    notes, measured = model_metadata(model_dir), _read_run(metrics)
    files = {"encoder.onnx": root / ENCODER, "denoiser.onnx": root / DENOISER}
    variants = _read_list(root / VARIANTS / LIST)
    files |= {file: root / VARIANTS / file for file, about in variants.items() if about["written"]}
    facts = {file: _facts(path, notes, config, model_dir) for file, path in files.items()}
    directions = usable_file(model_dir, config.model.latent_dim)
    authors = _credits(root / PREPARED, notes.get("data_version"))
    image = next((figure for figure in shipped_figures(MEASURES) if (figures / f"{figure.name}.png").is_file()), None)
    with whole_folder(root / ZOO / name) as new:
        files |= {file: model_dir / file for file in ("model.safetensors", "config.yaml")}
        files |= {"model.directions.safetensors": directions} if directions else {}
        for file, path in files.items():
            shutil.copyfile(path, new / file)
        if image:
            with Image.open(figures / f"{image.name}.png") as opened:
                small = opened.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            small.save(new / f"{image.name}.png", optimize=True)
        if authors:
            (new / CREDITS).write_text(authors, encoding="utf-8")
        sizes = {file.name: file.stat().st_size for file in sorted(new.iterdir())}
        told = Shipped(name, config, facts, variants, sizes, measured, _date(model_dir), image, made_by, CREDITS if authors else "")
        (new / "README.md").write_text(card(told), encoding="utf-8")
        sizes = {file.name: file.stat().st_size for file in sorted(new.iterdir())}
        most = MAX_BYTES_POSED if config.model.cameras.rays else MAX_BYTES
        if sum(sizes.values()) > most:
            raise ExportError(f"{root / ZOO / name}: {sum(sizes.values()):,} bytes ({sizes}), at most {most:,} are shipped")
    with whole_file(root / RESULTS / f"{name}.json") as temporary:
        shutil.copyfile(metrics, temporary)
    keep_images(name, figures, root / IMAGES, root / PREPARED)
    shown = write_gallery(root / GALLERY, root / ZOO, root / RESULTS, root / IMAGES)
    return {"folder": str(root / ZOO / name), "bytes": sum(sizes.values()), "files": sizes, "gallery": ", ".join(shown)}
