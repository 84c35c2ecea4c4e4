"""Weights of networks trained elsewhere, read from files that a person names: nothing is run, and all of it must fit."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from soda.common.errors import SodaError
from soda.config import EvaluateConfig

State = dict[str, Tensor]


class WeightsError(SodaError, ValueError):
    """A file of weights that is missing, cannot be read or is of another network; the message names setting, file and value."""


def require_weights(config: EvaluateConfig) -> None:
    """Raise WeightsError for a file of weights that the settings name and that is not there: before hours go into the rest."""
    for key in ("inception_weights", "lpips_weights", "lpips_linear"):
        named = getattr(config, key)
        if named is not None and not Path(named).is_file():
            raise WeightsError(f"evaluate.{key}: {named} is no file")


def read_state(setting: str, path: str | Path) -> State:
    """The tensors of a .pth file by name, on the CPU. setting: the key that names the file, for messages.

    Raises WeightsError for a missing file and for one that holds anything else than tensors by name.
    """
    file = Path(path)
    if not file.is_file():
        raise WeightsError(f"{setting}: {file} is no file")
    try:
        found: Any = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{setting}: {file} cannot be read as weights (a state dict, saved by torch.save): {first}") from error
    if not isinstance(found, dict) or not found or not all(isinstance(each, Tensor) for each in found.values()):
        raise WeightsError(f"{setting}: {file} holds a {type(found).__name__}, not a state dict of tensors by name")
    return {str(name): tensor for name, tensor in found.items()}


def fill(network: nn.Module, state: State, setting: str, path: str | Path) -> None:
    """Give `network` the tensors of its names, and freeze it in eval mode. What the state holds besides is left.

    BatchNorm's count of batches, which older files lack, may be missing. Raises WeightsError naming the first tensor that is
    missing, of another shape, or not of finite numbers.
    """
    own = network.state_dict()
    for name, tensor in own.items():
        if name not in state:
            if name.endswith("num_batches_tracked"):
                continue
            raise WeightsError(f"{setting}: {path} has no tensor {name}: it is of another network")
        given = state[name]
        if given.shape != tensor.shape:
            raise WeightsError(f"{setting}: {path}: {name} has shape {tuple(given.shape)}; it must be {tuple(tensor.shape)}")
        if not bool(given.isfinite().all()):
            raise WeightsError(f"{setting}: {path}: {name} holds values that are not finite")
    network.load_state_dict({name: state.get(name, tensor) for name, tensor in own.items()})
    network.requires_grad_(False).eval()
