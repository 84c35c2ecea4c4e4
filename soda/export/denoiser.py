"""The graph of denoiser.onnx: x_t, t and z in, x_0 and eps out, whatever the network was trained to predict."""

from __future__ import annotations

from typing import Any

import onnx
import torch
from torch import Tensor, nn

from soda.diffusion.sampler import split_prediction
from soda.export.tracing import trace
from soda.model.network import SodaNetwork
from soda.runtime.metadata import DENOISER_INPUTS, DENOISER_OUTPUTS


class DeployedDenoiser(nn.Module):
    """The denoiser of a trained model with its schedule's coefficients inside. model: in eval mode."""

    abar: Tensor

    def __init__(self, model: SodaNetwork) -> None:
        super().__init__()
        self.denoiser, self.prediction = model.denoiser, model.diffusion.prediction
        self.num_timesteps = model.schedule.num_timesteps
        self.register_buffer("abar", model.schedule.alphas_cumprod.clone(), persistent=False)
        self.image_size, self.channels, self.latent_dim = model.image_size, model.channels, model.latent_dim

    def forward(self, x_t: Tensor, t: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """x_t: (N, C, S, S); t: (N,) int64 in 1 .. T; z: (N, D) -> (x_0, eps), each (N, C, S, S), as `SODA.predict` gives
        them."""
        output = self.denoiser(x_t, t / self.num_timesteps, z)
        return split_prediction(self.prediction, output, x_t, self.abar[t].view(-1, 1, 1, 1))


def denoiser_to_onnx(module: DeployedDenoiser, opset: int) -> onnx.ModelProto:
    """`x_t` float32 (batch, C, S, S), `t` int64 (batch,) and `z` float32 (batch, D) to `x_0` and `eps` float32 (batch, C, S,
    S)."""
    side = module.image_size
    example = (torch.zeros(2, module.channels, side, side), torch.ones(2, dtype=torch.int64), torch.zeros(2, module.latent_dim))
    batch: Any = {name: {0: "batch"} for name in DENOISER_INPUTS}
    return trace(
        module, example, opset=opset, name="denoiser", inputs=DENOISER_INPUTS, outputs=DENOISER_OUTPUTS, dynamic_shapes=batch
    )
