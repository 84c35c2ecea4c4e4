"""`train.init`: a run begins with the weights of another model, as far as they fit."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from soda.common.errors import InputError
from soda.common.files import file_sha256
from soda.common.tensors import tensors_sha256
from soda.config import LITE
from soda.model.lite import LiteEncoder, take_general_weights
from soda.model.network import SodaNetwork
from soda.training.checkpoint import load_model
from soda.training.teacher import weights_of_efficientnet

log = logging.getLogger(__name__)

NAMED = 6
"""Layers that do not fit, so many by name."""


def warm_start(model: SodaNetwork, init: str) -> None:
    """Copy into `model`, in place, all tensors of the model folder `init` (e.g. zoo/emoji) of the same name and shape; or what
    `efficientnet_lite0` learnt of ImageNet into an encoder of that name.

    What does not fit stays as it was drawn, and is named in one line. Raises CheckpointError for no model folder, InputError
    where not one weight of the encoder fits, NotInstalledError.
    """
    if init == LITE:
        if not isinstance(model.encoder, LiteEncoder):
            raise InputError(f"train.init: {init} is not possible; it fits model.encoder=efficientnet_lite0 without cameras")
        take_general_weights(model.encoder, torch.load(weights_of_efficientnet(), map_location="cpu", weights_only=True))
        return
    given, mine = load_model(Path(init))[0].state_dict(), model.state_dict()
    fitting = {name: tensor for name, tensor in given.items() if name in mine and mine[name].shape == tensor.shape}
    if not any(name.startswith("encoder.") and tensor.ndim > 1 for name, tensor in fitting.items()):
        raise InputError(f"train.init: {init!r} is not possible; no layer of its encoder has the shape of this model's")
    for name, tensor in fitting.items():
        mine[name].copy_(tensor)
    other = [_difference(name, given, mine) for name in mine if name not in fitting]
    shown = ", ".join(other[:NAMED]) + (f" and {len(other) - NAMED} more" if len(other) > NAMED else "")
    log.info("starting from %s: %d of %d tensors fit%s", init, len(fitting), len(mine), f"; drawn anew: {shown}" if other else "")


def init_digest(init: str) -> str:
    """Of the weights that a run begins with: what its key has of them; "" where they are drawn."""
    if init == LITE:
        return file_sha256(weights_of_efficientnet())
    return tensors_sha256(load_model(Path(init))[0].state_dict()) if init else ""


def _difference(name: str, given: dict[str, Tensor], mine: dict[str, Tensor]) -> str:
    theirs = f"{tuple(given[name].shape)} there" if name in given else "not there"
    return f"{name} ({tuple(mine[name].shape)}, {theirs})"
