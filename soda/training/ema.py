"""The exponential moving average of the weights, which is what is evaluated and shipped."""

from __future__ import annotations

import copy

import torch
from torch import nn

from soda.config import TrainConfig


def ema_copy(model: nn.Module) -> nn.Module:
    """A copy of the model to hold the average; it takes no gradients."""
    return copy.deepcopy(model).requires_grad_(False).eval()


def ema_decay(settings: TrainConfig, step: int) -> float:
    """What the average keeps of itself at a step: early on (1 + step) / (10 + step), so that the start is forgotten."""
    return min(settings.ema_decay, (1 + step) / (10 + step))


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, settings: TrainConfig, step: int) -> None:
    """ema <- decay * ema + (1 - decay) * model, with the decay of this step.

    Buffers (BatchNorm's statistics, averages themselves) are copied.
    """
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - ema_decay(settings, step))
    for mine, theirs in zip(ema.buffers(), model.buffers(), strict=True):
        mine.copy_(theirs)
