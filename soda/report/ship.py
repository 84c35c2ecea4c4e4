"""Shipping a finished run: zoo/NAME with weights, ONNX files and card, docs/results/NAME.json, and the pages that show it."""

from __future__ import annotations

import csv
import datetime
import io
import json
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image

from soda import layout as at
from soda.common.files import whole_folder, write_json
from soda.config import LITE, Config
from soda.data.dataset import PreparedData
from soda.export import ExportError
from soda.export.variants import LIST
from soda.inference.directions import usable_file
from soda.report.card import Shipped, card
from soda.report.gallery_document import keep_images, save_small, shipped_figures, write_gallery
from soda.report.parts import Metrics, merge_parts
from soda.report.results import write_table
from soda.runtime import Decoder, Encoder, ModelError
from soda.training.checkpoint import load_model, model_metadata

MAX_BYTES, MAX_BYTES_LARGE = 10_000_000, 15_000_000  # the latter of models that are told of cameras or have a general encoder
"""Of a shipped folder: the repository carries it."""

COLOURS = 64  # of the card's image
CREDITS = "credits.csv"


def ship(name: str, root: Path = Path(), *, made_by: str = "") -> dict[str, Any]:
    """Copy the finished run of the project in `root` to zoo/NAME with its card, its metrics and images to docs/, and renew the
    gallery and the README's table.

    made_by: the command that made the run, for the card; the caller knows. Returns folder, bytes, files and the gallery's models.
    Raises ExportError or ReportError when a part is missing or of another model, or the folder would exceed MAX_BYTES; what was
    shipped before then stays.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise ExportError(f"{name!r}: a shipped model's name has lower-case letters, digits, - and _ alone")
    figures, folder = root / at.FIGURES, root / at.ZOO / name
    run = finished_run(root)
    config, metrics, files = run.told.config, run.told.metrics, run.files
    authors = _credits(root / at.PREPARED, run.data_version)
    image = next((figure for _, figure in shipped_figures() if (figures / f"{figure.name}.png").is_file()), None)
    told = replace(run.told, name=name, image=image, made_by=made_by, credits=CREDITS if authors else "")
    with whole_folder(folder) as new:
        for file, path in files.items():
            shutil.copyfile(path, new / file)
        if image:
            with Image.open(figures / f"{image.name}.png") as opened:
                save_small(opened, new / f"{image.name}.png", COLOURS)
        if authors:
            (new / CREDITS).write_text(authors, encoding="utf-8")
        (new / "README.md").write_text(card(told), encoding="utf-8")
        sizes = {file.name: file.stat().st_size for file in sorted(new.iterdir())}
        most = MAX_BYTES_LARGE if config.model.cameras.rays or config.model.encoder == LITE else MAX_BYTES
        if sum(sizes.values()) > most:
            raise ExportError(f"{folder}: {sum(sizes.values()):,} bytes ({sizes}), at most {most:,} are shipped")
    write_json(root / at.RESULTS / f"{name}.json", metrics)
    keep_images(name, figures, root / at.GALLERY_IMAGES, root / at.PREPARED)
    shown = write_gallery(root / at.GALLERY, root / at.ZOO, root / at.RESULTS, root / at.GALLERY_IMAGES)
    write_table(root / "README.md", root / at.RESULTS)
    return {"folder": str(folder), "bytes": sum(sizes.values()), "files": sizes, "gallery": ", ".join(shown)}


@dataclass(frozen=True)
class FinishedRun:
    """files: name -> path of all that goes with a model; told: what its card tells."""

    files: dict[str, Path]
    told: Shipped
    data_version: str | None


def finished_run(root: Path) -> FinishedRun:
    """The model that the project in `root` has made. Raises ExportError when a part is missing or of another model."""
    model_dir = root / at.MODEL
    _, config = load_model(model_dir)
    notes, metrics = model_metadata(model_dir), _read_run([root / part for part in at.PARTS.values()])
    variants = _read_list(root / at.VARIANTS / LIST)
    files = {"encoder.onnx": root / at.ENCODER, "denoiser.onnx": root / at.DENOISER}
    files |= {file: root / at.VARIANTS / file for file, about in variants.items() if about["written"]}
    facts = {file: _facts(path, notes, config, model_dir) for file, path in files.items()}
    files |= {file: model_dir / file for file in ("model.safetensors", "config.yaml")}
    if directions := usable_file(model_dir, config.model.latent_dim):
        files["model.directions.safetensors"] = directions
    told = Shipped(config.dataset.name, config, metrics, facts, variants, _date(model_dir))
    return FinishedRun(files, told, notes.get("data_version"))


def _credits(prepared: Path, data_version: str | None) -> str | None:
    """Name, author and licence of everything that the manifest names an author of, as CSV; None without such a column.

    Raises ExportError when other data were prepared since the model was trained.
    """
    columns, manifest = ["name", "author", "licence"], prepared / "manifest.parquet"
    if manifest.is_file() and (found := PreparedData(prepared).version) != data_version:
        raise ExportError(f"{prepared} holds other data (version {found}) than the model was trained on ({data_version})")
    if not manifest.is_file() or not set(columns) <= set(pq.read_schema(manifest).names):
        return None
    rows = pq.read_table(manifest, columns=columns).to_pylist()
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(columns)
    table.writerows(sorted({tuple(row[column] for column in columns) for row in rows if row["author"]}))
    return file.getvalue()


def _facts(file: Path, notes: dict[str, str], config: Config, model_dir: Path) -> dict[str, Any]:
    """The metadata of an exported file. Raises ExportError when it cannot be read or is of another model."""
    try:
        about = (Decoder if file.name == "denoiser.onnx" else Encoder)(file, threads=1).metadata
    except ModelError as error:
        raise ExportError(str(error)) from None
    if about.get("data_version") != notes.get("data_version") or about["latent_dim"] != config.model.latent_dim:
        raise ExportError(f"{file} was exported from another model than {model_dir}; run `soda export` again")
    return about


def _read_list(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["variants"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path}: no list of variants ({error}); run `soda export` again") from None


def _date(model_dir: Path) -> str:
    """The day on which the model was finished, UTC."""
    written = (model_dir / "model.safetensors").stat().st_mtime
    return datetime.datetime.fromtimestamp(written, datetime.UTC).date().isoformat()


def _read_run(parts: list[Path]) -> Metrics:
    """The figures of all stages. Raises ExportError when one has left none."""
    run = merge_parts(parts)
    if run.missing:
        raise ExportError(f"{parts[0].parent}: no whole run, {', '.join(run.missing)} missing; run the pipeline first")
    return run.metrics
