"""Shipping a finished run: zoo/<name>/ with weights, configuration, ONNX files and card, and docs/results/<name>.json."""

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
from soda.export import ExportError
from soda.export.card import card, picture_of
from soda.export.variants import LIST
from soda.runtime import Decoder, Encoder, ModelError
from soda.training.checkpoint import load_model, model_metadata

MAX_BYTES, MAX_BYTES_POSED = 10_000_000, 15_000_000  # the latter of models that are told of cameras
"""Of a shipped folder: the repository carries it."""

COLOURS = 64  # of the card's picture
CREDITS = "credits.csv"


def ship(
    name: str,
    model_dir: Path,
    encoder: Path,
    denoiser: Path,
    variants: Path,
    metrics: Path,
    figures: Path,
    zoo: Path,
    results: Path,
    *,
    directions: Path | None = None,
    prepared: Path | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Copy model, exported files and reconstructions to zoo/<name> and write its card; copy `metrics` to `results`.

    variants: the folder that the export left. directions: those of this model, where it has some. prepared: the data;
    authors that their manifest names are listed in credits.csv. command: what made the run, for the card; the caller knows.

    Returns folder, bytes and files. Raises ExportError when a part is missing, a file was not exported from this model's data, or
    the folder would exceed MAX_BYTES; what was shipped before then stays.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise ExportError(f"{name!r}: a shipped model's name has lower-case letters, digits, - and _ alone")
    _, config = load_model(model_dir)
    notes, measured = model_metadata(model_dir), _read_metrics(metrics)
    files = {"encoder.onnx": encoder, "denoiser.onnx": denoiser}
    listed = _read_list(variants / LIST)
    files |= {file: variants / file for file, about in listed.items() if about["written"]}
    facts = {file: _facts(path, notes, config, model_dir) for file, path in files.items()}
    folder = zoo / name
    with whole_folder(folder) as new:
        for file in ("model.safetensors", "config.yaml"):
            shutil.copy(model_dir / file, new / file)
        (new / "model.safetensors").chmod(0o644)
        for file, path in files.items():
            shutil.copy(path, new / file)
        if directions:
            shutil.copy(directions, new / "model.directions.safetensors")
        if (figures / (shown := picture_of(config)[0])).is_file():
            with Image.open(figures / shown) as picture:
                picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(new / shown, optimize=True)
        authors = _credits(prepared, notes.get("data_version")) if prepared else None
        if authors:
            (new / CREDITS).write_text(authors, encoding="utf-8")
        (new / "README.md").write_text(
            card(
                name,
                config,
                facts,
                measured,
                variants=listed,
                images=int(notes["images"]),
                command=command,
                date=_date(model_dir),
                credits=CREDITS if authors else "",
            ),
            encoding="utf-8",
        )
        sizes = {file.name: file.stat().st_size for file in sorted(new.iterdir())}
        most = MAX_BYTES_POSED if config.model.cameras.rays else MAX_BYTES
        if sum(sizes.values()) > most:
            raise ExportError(f"{folder}: {sum(sizes.values()):,} bytes ({sizes}), at most {most:,} are shipped")
    with whole_file(results / f"{name}.json") as temporary:
        shutil.copy(metrics, temporary)
    return {"folder": str(folder), "bytes": sum(sizes.values()), "files": sizes}


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


def _read_metrics(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: no figures to ship ({error}); run the pipeline to its report first") from None
    if not isinstance(found, dict) or not {"train", "latent", "reconstruction", "export"} <= set(found):
        raise ExportError(f"{path}: not the figures of a whole run (train, latent, reconstruction, export)")
    return found
