"""Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): momentum whose matrices are made orthogonal, AdamW for the rest.

`torch.optim.Muon` takes matrices alone, one at a time and in bfloat16, which most processors emulate. Here a convolution
(out, in, k, k) is the matrix (out, in k k), and those of one shape are made orthogonal together, in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of x, x^3 and x^5 (Jordan et al. 2024): steep at 0; after five rounds singular values lie in about [0.7, 1.2]."""
ROUNDS = 5
LEAST_CHANNELS = 16
"""A convolution with fewer on either side reads or writes images: it is none of the inner ones."""


def orthogonalise(matrices: Tensor) -> Tensor:
    """Bring all singular values of (N, rows, columns) near 1 by five rounds of Newton-Schulz; a matrix of zeros stays so.

    Each round multiplies X by a polynomial of X X^T from the left. So the rounds are done on that square of the shorter side,
    and their product meets the matrix once: a convolution's longer side is nine times the shorter. Not in bfloat16: in its eight
    bits the square of a small singular value comes out negative, which the rounds blow up.
    """
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.transpose(1, 2)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    gram = x @ x.transpose(1, 2)  # (N, r, r), r the shorter side
    product = factor = _polynomial(gram)
    for _ in range(ROUNDS - 1):
        gram = factor @ gram @ factor
        factor = _polynomial(gram)
        product = factor @ product
    x = product @ x
    return x if wide else x.transpose(1, 2)


def _polynomial(gram: Tensor) -> Tensor:
    """What one round multiplies by."""
    a, b, c = NEWTON_SCHULZ
    found = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    found.diagonal(dim1=1, dim2=2).add_(a)
    return found


def inner_convolutions(network: nn.Module) -> list[Tensor]:
    """Weights of the convolutions between features, neither of whose sides is an image."""
    layers = (m for m in network.modules() if isinstance(m, nn.Conv2d) and m.groups == 1)
    return [m.weight for m in layers if min(m.in_channels, m.out_channels) >= LEAST_CHANNELS]


class Muon(torch.optim.AdamW):
    """AdamW whose groups with `muon=True` are stepped by Muon instead, with the same group's `lr` and `weight_decay`.

    An orthogonal step is scaled by sqrt(max(1, rows / columns)); its momentum is Nesterov's.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, momentum: float = 0.95, **adamw: Any) -> None:
        super().__init__([{"muon": False, "momentum": momentum, **group} for group in groups], **adamw)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:  # type: ignore[override]
        every = self.param_groups
        try:
            self.param_groups = [group for group in every if not group["muon"]]
            loss = super().step(closure)
        finally:
            self.param_groups = every
        for group in every:
            if group["muon"]:
                self._step_matrices(group)
        return loss

    def _step_matrices(self, group: dict[str, Any]) -> None:
        given = sorted((p for p in group["params"] if p.grad is not None), key=_matrix_shape)
        for _, same in groupby(given, _matrix_shape):
            weights = list(same)
            for weight in weights:
                if not self.state[weight]:
                    # AdamW looks for a count of steps in every state that it loads.
                    self.state[weight] |= {"step": torch.zeros(()), "momentum_buffer": torch.zeros_like(weight)}
                self.state[weight]["step"] += 1
            buffers = [self.state[weight]["momentum_buffer"] for weight in weights]
            gradients = [weight.grad for weight in weights]
            torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
            ahead = torch._foreach_lerp(gradients, buffers, group["momentum"])
            steps = orthogonalise(torch.stack([each.flatten(1) for each in ahead]))
            scale = max(1.0, steps.shape[1] / steps.shape[2]) ** 0.5
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            rate = group["lr"] * scale
            if isinstance(rate, Tensor):  # on a device, where a step may not wait for its value
                steps, rate = steps * rate, 1.0
            for weight, step in zip(weights, steps, strict=True):
                weight.add_(step.view_as(weight), alpha=-rate)


def _matrix_shape(weight: Tensor) -> tuple[int, int]:
    return weight.shape[0], weight[0].numel()
