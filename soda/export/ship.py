"""Shipping a finished run: zoo/<name>/ with weights, configuration, encoder.onnx and card, and docs/results/<name>.json."""

from __future__ import annotations

import datetime
import json
import re
import shutil
from pathlib import Path
from typing import Any

from soda.export import ExportError
from soda.export.card import card
from soda.files import whole_file, whole_folder
from soda.runtime import Encoder, EncoderError
from soda.training.checkpoint import load_model, model_metadata

MAX_BYTES = 10_000_000
"""Of a shipped folder: the repository carries it."""

PICTURE = "reconstructions.png"


def ship(
    name: str,
    model_dir: Path,
    encoder: Path,
    metrics: Path,
    figures: Path,
    zoo: Path,
    results: Path,
    *,
    directions: Path | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Copy model, encoder and reconstructions to zoo/<name> and write its card; copy `metrics` to `results`.

    directions: those of this model, where it has some. command: what made the run, for the card; the caller knows. Returns
    folder, bytes and files. Raises ExportError when a part is missing, the encoder was not exported from this model's data, or
    the folder would exceed MAX_BYTES; what was shipped before then stays.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise ExportError(f"{name!r}: a shipped model's name has lower-case letters, digits, - and _ alone")
    _, config = load_model(model_dir)
    notes, measured = model_metadata(model_dir), _read_metrics(metrics)
    try:
        facts = Encoder(encoder, threads=1).metadata
    except EncoderError as error:
        raise ExportError(str(error)) from None
    if facts.get("data_version") != notes.get("data_version") or facts["latent_dim"] != config.model.latent_dim:
        raise ExportError(f"{encoder} was exported from another model than {model_dir}; run `soda export` again")
    folder = zoo / name
    with whole_folder(folder) as new:
        for file in ("model.safetensors", "config.yaml"):
            shutil.copy(model_dir / file, new / file)
        (new / "model.safetensors").chmod(0o644)
        shutil.copy(encoder, new / "encoder.onnx")
        if directions:
            shutil.copy(directions, new / "model.directions.safetensors")
        if (figures / PICTURE).is_file():
            shutil.copy(figures / PICTURE, new / PICTURE)
        (new / "README.md").write_text(
            card(name, config, facts, measured, images=int(notes["images"]), command=command, date=_date(model_dir)),
            encoding="utf-8",
        )
        sizes = {file.name: file.stat().st_size for file in sorted(new.iterdir())}
        if sum(sizes.values()) > MAX_BYTES:
            raise ExportError(f"{folder}: {sum(sizes.values()):,} bytes ({sizes}), at most {MAX_BYTES:,} are shipped")
    with whole_file(results / f"{name}.json") as temporary:
        shutil.copy(metrics, temporary)
    return {"folder": str(folder), "bytes": sum(sizes.values()), "files": sizes}


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
