"""The export stage: the trained model as models/encoder.onnx, denoiser.onnx and smaller encoders, each held to torch before it
takes its place."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import torch

from soda.common.files import whole_file, whole_folder, write_json
from soda.config import ExportConfig
from soda.data.dataset import PreparedData
from soda.export import ExportError
from soda.export.decoding import check_decoder
from soda.export.denoiser import DeployedDenoiser, denoiser_to_onnx
from soda.export.describe import describe_denoiser, describe_directions, describe_encoder, describe_model, to_bytes
from soda.export.graph import DeployedEncoder
from soda.export.parity import comparison_split, likeness
from soda.export.retrieval import choose_vectors
from soda.export.speed import measure_speed
from soda.export.tracing import trace
from soda.export.variants import write_variants
from soda.model.network import SodaNetwork
from soda.runtime import Decoder, Encoder
from soda.runtime.metadata import INPUT, OUTPUT, OUTPUTS
from soda.training.checkpoint import load_model, model_metadata


def export(
    config: ExportConfig,
    model_dir: Path,
    prepared: Path,
    evaluation: Path,
    directions: Path | None,
    encoder: Path,
    denoiser: Path,
    variants: Path,
    metrics: Path,
) -> dict[str, dict[str, Any]]:
    """Write `encoder` and `denoiser` (ONNX), the folder `variants` and `metrics` (JSON) from the model in `model_dir`; return the
    metrics.

    prepared: the data, whose train split gives the statistics of z and calibrates, whose validation split judges the variants and
    whose test split is compared with torch. evaluation: JSON whose `probe` figures go into the file. directions: those of this
    model, where it has some. Raises ExportError when the model does not fit the data or an ONNX file does not compute what the
    torch model does; all earlier files then stay as they were.
    """
    model, settings = load_model(model_dir)
    data = PreparedData(prepared)
    _check_fit(model, data, model_dir, prepared)
    resize = settings.dataset.resize
    common = describe_model(model, data, model_metadata(model_dir).get("data_version", data.version))
    facts = {**common, **describe_encoder(model, data, resize, evaluation, features=config.features)}
    found = describe_directions(directions, model_dir, model.latent_dim)
    of_model: dict[str, Any] = {"image_size": model.image_size, "channels": model.channels, "resize": resize}
    module = DeployedEncoder(model.encoder, **of_model, features=config.features).eval()
    with whole_file(encoder) as new_encoder, whole_file(denoiser) as new_denoiser, whole_folder(variants) as new_variants:
        graph = to_onnx(module, config.opset)
        new_encoder.write_bytes(to_bytes(graph, facts))
        if config.features:
            chosen, found_by = choose_vectors(Encoder(new_encoder, threads=torch.get_num_threads()), data)
            new_encoder.write_bytes(to_bytes(graph, {**facts, "search_vectors": chosen}))
        onnx.checker.check_model(str(new_encoder), full_check=True)
        exported = Encoder(new_encoder, threads=torch.get_num_threads())
        compared = comparison_split(data)
        like = likeness(exported, module, compared, config.parity_images, most=config.max_abs_diff)
        parity = {key: value for key, value in asdict(like).items() if value is not None}
        speed = measure_speed(exported, module)

        drawing = denoiser_to_onnx(DeployedDenoiser(model).eval(), config.opset)
        new_denoiser.write_bytes(to_bytes(drawing, {**common, **describe_denoiser(model, found)}))
        onnx.checker.check_model(str(new_denoiser), full_check=True)
        decoder = Decoder(new_denoiser, threads=torch.get_num_threads())
        decoding = check_decoder(decoder, model, compared, config)

        smaller = write_variants(config, module, new_encoder, data, new_variants)
        sizes = {"bytes": new_encoder.stat().st_size, "denoiser_bytes": new_denoiser.stat().st_size}
    result = {
        "export": {
            "parity_images": parity.pop("images"),
            **parity,
            **sizes,
            "opset": config.opset,
            **(found_by if config.features else {}),
            **speed,
            **decoding,
            **smaller,
        }
    }
    write_json(metrics, result)
    return result


def to_onnx(module: DeployedEncoder, opset: int) -> onnx.ModelProto:
    """The module as an ONNX graph: `images` uint8 (batch, height, width, 3), all sizes free, to `z` float32 (batch, D), and to
    `features` (batch, F) where the module gives them."""
    # An example batch of 1 would fix the batch to 1; sides that differ keep height and width apart.
    example = torch.zeros(2, module.image_size + 8, module.image_size + 16, 3, dtype=torch.uint8)
    sides = {INPUT: {0: "batch", 1: "height", 2: "width"}}
    outputs = OUTPUTS if module.features else (OUTPUT,)
    return trace(module, (example,), opset=opset, name="encoder", inputs=[INPUT], outputs=outputs, dynamic_shapes=sides)


def _check_fit(model: SodaNetwork, data: PreparedData, model_dir: Path, prepared: Path) -> None:
    wanted, found = (model.image_size, model.channels), (data.image_size, data.channels)
    if wanted != found:
        raise ExportError(
            f"{model_dir} takes {wanted[0]} px and {wanted[1]} channels, {prepared} holds {found[0]} px and {found[1]}"
        )
