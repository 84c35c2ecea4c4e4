"""Baselines that take long to train: an evaluation that was interrupted goes on with them, and one that is repeated has them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn
from tqdm import tqdm

from soda.common.fingerprint import code_fingerprint
from soda.config import Config, to_dict
from soda.training.checkpoint import load_checkpoint, save_checkpoint, train_settings

SAVE_EVERY = 500  # steps


@dataclass(frozen=True)
class Keeping:
    """Where training is kept, and what it is about beside its settings."""

    runs: Path
    data_version: str


def train_kept(
    name: str,
    config: Config,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: int,
    optimise: Callable[[int], None],
    *,
    keeping: Keeping | None,
    module: str,
    about: list[Any],
) -> None:
    """Call `optimise(step)`, which trains `network` in place, for each step.

    With `keeping` the state is put into runs/<name>-<key>/checkpoint.pt every SAVE_EVERY steps; training goes on from there, to
    the same weights, and a finished one is not trained again. The key is of the settings of `config`, the code of `module`, which
    calls this, the data and `about`: what else decides the weights, as plain values.
    """
    first, key, checkpoint = 0, "", None
    if keeping is not None:
        settings = [train_settings(config), to_dict(config)["model"]]
        parts = [name, *settings, *about, keeping.data_version, code_fingerprint(module)]
        key = hashlib.sha256(yaml.safe_dump(parts, sort_keys=True).encode()).hexdigest()[:16]
        checkpoint = keeping.runs / f"{name}-{key}" / "checkpoint.pt"
        if checkpoint.exists():
            state = load_checkpoint(checkpoint, key)
            network.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            first = state["step"]
    for step in tqdm(range(first, steps), desc=name, unit="step", initial=first, total=steps, leave=False):
        optimise(step)
        if checkpoint and ((step + 1) % SAVE_EVERY == 0 or step + 1 == steps):
            state = {"key": key, "step": step + 1, "model": network.state_dict(), "optimizer": optimizer.state_dict()}
            save_checkpoint(checkpoint, state)
