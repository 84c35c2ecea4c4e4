"""The use of z and its effective dimensions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from soda.config import Config
from soda.evaluation.latent_use import latent_use
from soda.evaluation.measures.latent import effective_dim
from soda.model.network import SodaNetwork, build_model

CPU = torch.device("cpu")


def test_a_fresh_denoiser_does_not_use_z_and_one_that_draws_z_does(small_config: Config) -> None:
    torch.manual_seed(0)
    images = torch.rand(8, 1, 16, 16) * 2 - 1
    fresh = build_model(small_config).eval()  # modulation starts at nought
    assert latent_use(fresh, images, seed=0, batch_size=4).gap == 0

    class Copier(SodaNetwork):
        def encode(self, images: Tensor) -> Tensor:
            return images.flatten(1)

        def loss(self, source: Any, target: Tensor, *args: Any, z: Tensor | None = None, **kwargs: Any) -> Tensor:
            assert z is not None
            return (z - target.flatten(1)).square().mean(1) + 0.01

    copier = Copier(model=small_config.model, diffusion=small_config.diffusion, image_size=16, channels=1).eval()
    use = latent_use(copier, images, seed=0, batch_size=3)
    assert use.loss == pytest.approx(0.01)
    assert use.gap > 1


def test_effective_dim_counts_directions() -> None:
    x = torch.randn(4000, 10, generator=torch.Generator().manual_seed(0))
    assert effective_dim(x) == pytest.approx(10, rel=0.05)
    assert effective_dim(x * torch.tensor([1.0] * 3 + [0.0] * 7)) == pytest.approx(3, rel=0.05)
    assert effective_dim(torch.ones(5, 10)) == 0
