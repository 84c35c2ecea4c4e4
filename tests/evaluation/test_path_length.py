"""Perceptual path length: nought for a still image, and it grows with jumps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from soda.common.images import to_float
from soda.evaluation.baselines.untrained import initial_encoder
from soda.evaluation.image_metrics import FixedNetwork
from soda.evaluation.perceptual_path import path_length
from tests.support.settings import make_config
from tests.support.shapes import render

CPU = torch.device("cpu")


def test_path_length_is_nought_for_a_still_picture_and_grows_with_jumps() -> None:
    network = FixedNetwork(initial_encoder(make_config("dataset.channels=3")))
    z = torch.linspace(-1, 1, 12)[:, None] * torch.ones(12, 4)
    base, other = (to_float(render(np.full(12, k), np.full(12, k + 1))) for k in (0, 1))

    def smooth(latents: Tensor) -> Tensor:
        return torch.lerp(base, other, latents[:, :1, None, None] / 2 + 0.5)

    def wild(latents: Tensor) -> Tensor:
        return torch.lerp(base, other, torch.sin(60 * latents[:, :1, None, None]) / 2 + 0.5)

    still, calm, rough = (path_length(z, base, draw, network, seed=0) for draw in (lambda _: base, smooth, wild))
    assert still["path_length"] == still["path_length_spherical"] == 0
    assert calm["path_length"] < 0.2 * rough["path_length"]
    with pytest.raises(ValueError, match="two images"):
        path_length(z[:1], base[:1], smooth, network, seed=0)
