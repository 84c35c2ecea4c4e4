"""The effective dimensions of z; its use is tested with training, which watches it."""

from __future__ import annotations

import pytest
import torch

from soda.evaluation.measures.latent import effective_dim


def test_effective_dim_counts_directions() -> None:
    x = torch.randn(4000, 10, generator=torch.Generator().manual_seed(0))
    assert effective_dim(x) == pytest.approx(10, rel=0.05)
    assert effective_dim(x * torch.tensor([1.0] * 3 + [0.0] * 7)) == pytest.approx(3, rel=0.05)
    assert effective_dim(torch.ones(5, 10)) == 0
