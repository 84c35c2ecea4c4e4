"""A model folder with a decoder: zoo/fashion_mnist, whose denoiser.onnx is exported here where it does not ship."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from soda.diffusion.sampler import split_prediction
from soda.model.soda import SODA
from soda.runtime import Encoder
from soda.training.checkpoint import load_model
from tests.apps.running import ENCODER


class _Denoiser(nn.Module):
    abar: Tensor

    def __init__(self, model: SODA) -> None:
        super().__init__()
        self.network, self.prediction, self.num_timesteps = (
            model.denoiser,
            model.diffusion.prediction,
            model.schedule.num_timesteps,
        )
        self.register_buffer("abar", model.schedule.alphas_cumprod.clone())

    def forward(self, x_t: Tensor, t: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        output = self.network(x_t, t / self.num_timesteps, z)
        return split_prediction(self.prediction, output, x_t, self.abar[t].view(-1, 1, 1, 1))


def model_folder(folder: Path, pictures: np.ndarray) -> Path:
    """A folder with encoder.onnx and denoiser.onnx. pictures: (N, S, S, 3) uint8, to find directions in."""
    shipped = ENCODER.parent / "denoiser.onnx"
    folder.mkdir(parents=True)
    shutil.copy(ENCODER, folder)
    if shipped.is_file():
        shutil.copy(shipped, folder)
    else:
        onnx.save(_export(pictures), folder / "denoiser.onnx")
    return folder


def _export(pictures: np.ndarray) -> onnx.ModelProto:
    model, _ = load_model(ENCODER.parent, torch.device("cpu"))
    side, dim = model.image_size, model.latent_dim
    example = (torch.zeros(2, model.channels, side, side), torch.ones(2, dtype=torch.int64), torch.zeros(2, dim))
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        _Denoiser(model).eval().requires_grad_(False),
        example,
        dynamo=True,
        external_data=False,
        opset_version=18,
        input_names=["x_t", "t", "z"],
        output_names=["x_0", "eps"],
        dynamic_shapes=({0: batch}, {0: batch}, {0: batch}),
        verbose=False,
    )
    assert program is not None
    values = {
        "format": 1,
        "latent_dim": dim,
        "image_size": side,
        "channels": model.channels,
        "sections": model.sections,
        "alphas_cumprod": model.schedule.alphas_cumprod.tolist(),
        "timesteps": model.schedule.sampling_times(model.diffusion.sampling_steps, model.diffusion.spacing),
        "directions": _directions(Encoder(ENCODER, threads=1).run(pictures)),
    }
    graph = program.model_proto  # made anew whenever it is asked for
    onnx.helper.set_model_props(graph, {f"soda.{key}": json.dumps(value) for key, value in values.items()})
    return graph


def _directions(z: np.ndarray) -> list[dict[str, object]]:
    _, scales, axes = np.linalg.svd(z - z.mean(0), full_matrices=False)
    vectors = axes[:3] * scales[:3, None] / np.sqrt(len(z))
    return [{"number": i, "name": None, "kind": "pca", "section": None, "vector": v.tolist()} for i, v in enumerate(vectors)]
