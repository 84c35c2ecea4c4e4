"""Depthwise convolutions on small maps, with a backward pass that CPUs are fast at."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SMALL = 36
"""Maps of so many places at most (6 x 6): there the product of all pairs of places costs less than PyTorch's own gradient, which
for kernels of 5 x 5 takes 30 to 50 times as long as the forward pass (torch 2.11, one thread; here 6 to 8 times)."""


def pays(x: Tensor, weight: Tensor) -> bool:
    """Whether `small_depthwise` is the faster way for this call: on a CPU, in float32, where gradients are asked for."""
    return (
        weight.requires_grad
        and torch.is_grad_enabled()
        and weight.device.type == "cpu"
        and weight.dtype == x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and weight.shape[:2] == (x.shape[1], 1)
        and weight.shape[2] == 5
        and x.shape[2] * x.shape[3] <= SMALL
    )


def small_depthwise(x: Tensor, weight: Tensor) -> Tensor:
    """x: (B, C, H, W), weight: (C, 1, k, k), k odd -> (B, C, H, W): stride 1, zeros around, each channel by itself."""
    y: Tensor = _SmallDepthwise.apply(x, weight)
    return y


def _convolved(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight, None, 1, weight.shape[2] // 2, 1, weight.shape[0])


class _SmallDepthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _convolved(x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        """The weight's gradient: products of each place of x with each place of y, summed by their offset."""
        (grad,), (x, weight) = grads, ctx.saved_tensors
        channels, kernel = weight.shape[0], weight.shape[2]
        pairs = torch.bmm(x.flatten(2).permute(1, 2, 0).contiguous(), grad.flatten(2).permute(1, 0, 2).contiguous())
        offsets = _offsets(x.shape[2], x.shape[3], kernel)
        sums = x.new_zeros(channels, kernel**2 + 1).index_add_(1, offsets, pairs.flatten(1))
        return _convolved(grad, weight.flip(2, 3)), sums[:, :-1].view_as(weight)


@lru_cache(maxsize=64)
def _offsets(height: int, width: int, kernel: int) -> Tensor:
    """(height * width)^2 places in the kernel, of input place i and output place o at i * height * width + o; kernel^2: none."""
    rows, columns = (torch.arange(side)[:, None] - torch.arange(side)[None] + kernel // 2 for side in (height, width))
    row, column = rows[:, None, :, None], columns[None, :, None, :]
    inside = (row >= 0) & (row < kernel) & (column >= 0) & (column < kernel)
    return torch.where(inside, row * kernel + column, kernel**2).flatten()
