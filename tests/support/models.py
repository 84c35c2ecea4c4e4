"""Networks for tests."""

from __future__ import annotations

import torch
from torch import nn

from soda.config import Config
from soda.model.modulation import Modulation
from soda.model.network import SodaNetwork, build_model


def awake(config: Config) -> SodaNetwork:
    """A model whose zero-initialised parts are random, as after some training."""
    torch.manual_seed(0)
    model = build_model(config).eval()
    for module in model.modules():
        if isinstance(module, Modulation):
            nn.init.normal_(module.from_latent.weight, std=0.3)
            nn.init.normal_(module.from_time.weight, std=0.3)
    nn.init.normal_(model.denoiser.conv_out.weight, std=0.1)
    return model
