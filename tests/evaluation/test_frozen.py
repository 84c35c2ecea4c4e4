"""Frozen means frozen: a weight, a statistic or a mode that changes is noticed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from soda.evaluation.frozen import FrozenError, frozen, weights_hash

CPU = torch.device("cpu")


def test_a_weight_that_changes_is_noticed() -> None:
    model = nn.Linear(3, 3).eval()
    with pytest.raises(FrozenError, match="changed"), frozen(model), torch.no_grad():
        model.weight[1, 2] += 1e-6


def test_batch_statistics_that_change_are_noticed() -> None:
    model = nn.BatchNorm2d(3).eval()
    with pytest.raises(FrozenError), frozen(model):
        model.train()(torch.randn(4, 3, 2, 2))
        model.eval()


def test_training_mode_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).eval()
    model[1].train()
    with pytest.raises(FrozenError, match="1 is in training mode"), frozen(model):
        pass


def test_the_hash_depends_on_values_and_names() -> None:
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    two.load_state_dict(one.state_dict())
    assert weights_hash(one) == weights_hash(two)
    assert weights_hash(one) != weights_hash(nn.Sequential(one))
