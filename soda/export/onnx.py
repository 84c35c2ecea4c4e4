"""The export stage: the trained encoder as models/encoder.onnx, one file, held to the torch model before it takes its place."""

from __future__ import annotations

import json
import logging
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from soda.config import ExportConfig
from soda.data.dataset import PreparedData, Split
from soda.export import ExportError
from soda.export.graph import DeployedEncoder
from soda.export.parity import check_parity
from soda.export.speed import measure_speed
from soda.export.statistics import latent_statistics
from soda.export.version import code_version
from soda.files import whole_file, write_json
from soda.model.soda import SODA
from soda.runtime import Encoder
from soda.runtime.metadata import FORMAT, INPUT, OUTPUT, to_props
from soda.training.checkpoint import load_model, model_metadata

_log = logging.getLogger(__name__)


def export(
    config: ExportConfig, model_dir: Path, prepared: Path, evaluation: Path, encoder: Path, metrics: Path
) -> dict[str, dict[str, Any]]:
    """Write `encoder` (ONNX) and `metrics` (JSON) from the model in `model_dir`; return the metrics.

    prepared: the data, whose train split gives the statistics of z and whose test split the comparison with torch. evaluation:
    JSON whose `probe` figures go into the file. Raises ExportError when the model does not fit the data or the ONNX file does not
    compute what the torch model does; the earlier files then stay as they were.
    """
    model, settings = load_model(model_dir)
    data = PreparedData(prepared)
    _check_fit(model, data, model_dir, prepared)
    resize = settings.dataset.resize
    metadata = {
        "format": FORMAT,
        "latent_dim": model.latent_dim,
        "image_size": model.image_size,
        "channels": model.channels,
        "resize": resize,
        "sections": model.sections,
        "code_version": code_version(),
        "probe": _probe_figures(evaluation),
        **_describe_data(data, model_metadata(model_dir).get("data_version", data.version)),
        **_describe_latent(model, data),
    }
    module = DeployedEncoder(model.encoder, image_size=model.image_size, channels=model.channels, resize=resize).eval()
    graph = to_onnx(module, config.opset)
    onnx.helper.set_model_props(graph, to_props(metadata))
    with whole_file(encoder) as temporary:
        temporary.write_bytes(graph.SerializeToString(deterministic=True))
        onnx.checker.check_model(str(temporary), full_check=True)
        exported = Encoder(temporary, threads=torch.get_num_threads())
        parity = check_parity(exported, module, _comparison_split(data), config)
        speed = measure_speed(exported, module)
        size = temporary.stat().st_size
    result = {"export": {**asdict(parity), "bytes": size, "opset": config.opset, **speed}}
    write_json(metrics, result)
    return result


def to_onnx(module: DeployedEncoder, opset: int) -> onnx.ModelProto:
    """The module as an ONNX graph: `images` uint8 (batch, height, width, 3), all sizes free, to `z` float32 (batch, D).

    BatchNorm is folded into the convolutions; what the exporter notes of its own source lines is left out.
    """
    # An example batch of 1 would fix the batch to 1; sides that differ keep height and width apart.
    example = torch.zeros(2, module.image_size + 8, module.image_size + 16, 3, dtype=torch.uint8)
    quiet = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [logger.level for logger in quiet]
    try:
        for logger in quiet:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                external_data=False,
                opset_version=opset,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes={"images": {0: "batch", 1: "height", 2: "width"}},
                verbose=False,
            )
    finally:
        for logger, level in zip(quiet, levels, strict=True):
            logger.setLevel(level)
    assert program is not None  # it is, under dynamo=True
    return _strip(program.model_proto)


def _strip(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Remove notes on source lines (with paths of the machine) and the shapes in between, which runtimes infer."""
    del graph.graph.value_info[:]
    del graph.metadata_props[:]
    del graph.graph.metadata_props[:]
    graph.doc_string = graph.graph.doc_string = ""
    graph.graph.name = "encoder"
    for part in (*graph.graph.node, *graph.graph.initializer, *graph.graph.input, *graph.graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    return graph


def _describe_data(data: PreparedData, trained_on: str) -> dict[str, Any]:
    if trained_on != data.version:
        _log.warning(
            "The model was trained on data %.12s; %s holds %.12s, whose pictures give the statistics of z.",
            trained_on,
            data.folder,
            data.version,
        )
    return {
        "dataset": data.summary.get("dataset", ""),
        "data_version": trained_on,
        "data_licence": data.summary.get("licence", ""),
        "data_source": data.summary.get("source", ""),
        "labels": data.label_names,
    }


def _describe_latent(model: SODA, data: PreparedData) -> dict[str, Any]:
    mean, std, pictures = latent_statistics(model.encoder, data.split("train"))
    return {"z_mean": _rounded(mean), "z_std": _rounded(std), "z_pictures": pictures}


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.9g}") for value in values]  # nine digits carry a float32


def _check_fit(model: SODA, data: PreparedData, model_dir: Path, prepared: Path) -> None:
    wanted, found = (model.image_size, model.channels), (data.image_size, data.channels)
    if wanted != found:
        raise ExportError(
            f"{model_dir} takes {wanted[0]} px and {wanted[1]} channels, {prepared} holds {found[0]} px and {found[1]}"
        )


def _comparison_split(data: PreparedData) -> Split:
    """The test split; of a data set too small to have one, val, else train."""
    splits = [data.split(name) for name in ("test", "val", "train")]
    return next((split for split in splits if len(split)), splits[0])


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
