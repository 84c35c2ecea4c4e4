"""What the exported files say of themselves; `soda.runtime.metadata` lists the keys."""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from soda.data.dataset import PreparedData
from soda.export import ExportError
from soda.export.statistics import output_moments
from soda.export.version import code_version
from soda.inference.directions import load_directions, weights_sha256
from soda.model.encoder import encode_with_features
from soda.model.network import SodaNetwork
from soda.runtime.metadata import FORMAT, to_props
from soda.runtime.session import with_checksum

MAX_DIRECTIONS = 24
"""Those that change pictures most, and beside them all that have a name: 1.5 KB each at 128 numbers."""

_log = logging.getLogger(__name__)


def describe_model(model: SodaNetwork, data: PreparedData, trained_on: str) -> dict[str, Any]:
    """What encoder and denoiser have in common. trained_on: the version of the data on which the model was trained."""
    if trained_on != data.version:
        _log.warning(
            "The model was trained on data %.12s; %s holds %.12s, whose pictures give the statistics of z.",
            trained_on,
            data.folder,
            data.version,
        )
    return {
        "format": FORMAT,
        "latent_dim": model.latent_dim,
        "image_size": model.image_size,
        "channels": model.channels,
        "sections": model.sections,
        "code_version": code_version(),
        "dataset": data.summary.get("dataset", ""),
        "data_version": trained_on,
        "data_licence": data.summary.get("licence", ""),
        "data_source": data.summary.get("source", ""),
    }


def describe_encoder(model: SodaNetwork, data: PreparedData, resize: str, evaluation: Path, *, features: bool) -> dict[str, Any]:
    """What only the encoder says, with `features` also of these; runs it over the train split.

    Raises ExportError as `output_moments` does.
    """
    probe = _probe_figures(evaluation)
    of_z, of_features = output_moments(partial(encode_with_features, model.encoder), data.split("train"))
    mean, std = of_z.statistics()
    statistics: dict[str, Any] = {"z_mean": _rounded(mean), "z_std": _rounded(std), "z_pictures": of_z.count}
    if features:
        mean, std = of_features.statistics()
        statistics |= {"features_dim": len(mean), "features_mean": _rounded(mean), "features_std": _rounded(std)}
    return {"resize": resize, "labels": data.label_names, "probe": probe, "precision": "fp32", **statistics}


def describe_denoiser(model: SodaNetwork, directions: list[dict[str, Any]]) -> dict[str, Any]:
    """What only the denoiser says: the table of its schedule and how to sample with it."""
    settings = model.diffusion
    return {
        "num_timesteps": model.schedule.num_timesteps,
        "alphas_cumprod": model.schedule.alphas_cumprod.tolist(),
        "schedule": settings.schedule,
        "prediction": settings.prediction,
        "sampling_steps": settings.sampling_steps,
        "spacing": settings.spacing,
        "timesteps": model.schedule.sampling_times(settings.sampling_steps, settings.spacing),
        "guidance_scale": settings.guidance_scale,
        "directions": directions,
    }


def describe_directions(file: Path | None, model_dir: Path, latent_dim: int) -> list[dict[str, Any]]:
    """Directions of the model, those that change pictures most first; none without a file.

    Raises DirectionError (soda.inference.directions) for a damaged file and for directions found with other weights.
    """
    if file is None or not file.is_file():
        return []
    found = load_directions(file, model=weights_sha256(model_dir), latent_dim=latent_dim)
    return [
        {
            "number": number,
            "name": item.name,
            "kind": item.kind,
            "section": item.section,
            "sigma": float(f"{item.sigma:.6g}"),
            "share": float(f"{item.share:.6g}"),
            "change": float(f"{item.change:.6g}"),
            "vector": _rounded(item.vector.double().numpy() * item.sigma),
        }
        for number, item in enumerate(found)
        if number < MAX_DIRECTIONS or item.name is not None
    ]


def to_bytes(graph: onnx.ModelProto, metadata: dict[str, Any]) -> bytes:
    """The file: the graph with these metadata and its checksum. The same graph and metadata give the same bytes.

    Its IR version is the least that its opset needs, so that older runtimes read it, too.
    """
    graph.ir_version = onnx.helper.find_min_ir_version_for(graph.opset_import)
    onnx.helper.set_model_props(graph, to_props({**metadata, "sha256": "0" * 64}))
    return with_checksum(graph.SerializeToString(deterministic=True))


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.9g}") for value in values]  # nine digits carry a float32


def _probe_figures(evaluation: Path) -> dict[str, float]:
    """The probe figures; none for a data set without labels. Raises ExportError when the file is missing or no evaluation."""
    try:
        figures = json.loads(evaluation.read_text())
    except OSError as error:
        raise ExportError(f"{evaluation}: {(error.strerror or str(error)).lower()}; evaluate the model first") from None
    except ValueError as error:
        raise ExportError(f"{evaluation}: not JSON ({error}); evaluate the model again") from None
    probe = figures.get("probe", {}) if isinstance(figures, dict) else None
    if not isinstance(probe, dict):
        raise ExportError(f"{evaluation}: not the figures of an evaluation; evaluate the model again")
    return {key: value for key, value in probe.items() if isinstance(value, (int, float))}
