"""What an encoder knows before z: the input of its last linear layer."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from soda.common.errors import InputError


class BeforeZ(nn.Module):
    """An encoder's features before z, in eval mode. images: (B, C, S, S) in [-1, 1] -> (B, F).

    Raises InputError for an encoder that has no linear layer.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        layers = [module for module in encoder.modules() if isinstance(module, nn.Linear)]
        if not layers:
            raise InputError("the encoder has no linear layer, and so no features before z")
        self._seen: list[Tensor] = []
        layers[-1].register_forward_pre_hook(self._keep)
        self.eval()

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._seen = [inputs[0]]

    def forward(self, images: Tensor) -> Tensor:
        self.encoder(images)
        return self._seen.pop().flatten(1)
