"""The proof that what is evaluated stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from soda.common.errors import SodaError
from soda.common.tensors import tensors_sha256


class FrozenError(SodaError, RuntimeError):
    """Weights changed, or could have changed, while they were being evaluated: the figures would be worthless."""


def weights_hash(module: nn.Module) -> str:
    """SHA-256 over the names, types, shapes and bytes of all parameters and buffers."""
    return tensors_sha256({name: tensor.detach().cpu() for name, tensor in module.state_dict().items()})


@contextmanager
def frozen(model: nn.Module) -> Iterator[str]:
    """Yield the hash of the weights; raise FrozenError when the model is not in eval mode or they differ at the end."""
    require_eval(model)
    before = weights_hash(model)
    yield before
    require_eval(model)
    after = weights_hash(model)
    if after != before:
        raise FrozenError(f"the weights changed while they were evaluated: sha256 {before} before, {after} after")


def require_eval(model: nn.Module) -> None:
    """Raise FrozenError naming the first module that is in training mode."""
    training = [name or type(model).__name__ for name, module in model.named_modules() if module.training]
    if training:
        raise FrozenError(f"{training[0]} is in training mode: its batch statistics would enter the evaluation")
