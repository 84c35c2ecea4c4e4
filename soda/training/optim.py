"""Optimizer and learning rate. Rates depend on the count of images alone."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from soda.config import TrainConfig
from soda.model.lite import LiteEncoder
from soda.model.network import SodaNetwork
from soda.training.muon import Muon, inner_convolutions


def build_optimizer(model: SodaNetwork, config: TrainConfig, head: nn.Module | None = None) -> torch.optim.Optimizer:
    """Encoder and denoiser, each in groups: weights that decay, norms and biases that do not, and with `optimizer: muon` the
    inner convolutions, but for those of a LiteEncoder.

    Each group carries `lr_factor`, its share of the scheduled rate. head: trained beside them, at the encoder's rate, by AdamW.
    """
    muon = config.optimizer == "muon"
    groups = []
    for network, factor in ((model.encoder, config.encoder_lr_factor), (model.denoiser, 1.0)):
        # Steps of one size in all directions would soon undo what a general encoder brings along.
        inner = inner_convolutions(network) if muon and not isinstance(network, LiteEncoder) else []
        taken = {id(weight) for weight in inner}
        rest = [p for p in network.parameters() if id(p) not in taken]
        for decay, chosen in (
            (config.weight_decay, [p for p in rest if p.ndim > 1]),
            (0.0, [p for p in rest if p.ndim <= 1]),
        ):
            groups.append({"params": chosen, "weight_decay": decay, "lr_factor": factor})
        if inner:
            groups.append(
                {
                    "params": inner,
                    "weight_decay": config.muon_weight_decay,
                    "lr_factor": factor * config.muon_lr / config.lr,
                    "muon": True,
                }
            )
    if head is not None:
        groups.append(
            {"params": list(head.parameters()), "weight_decay": config.weight_decay, "lr_factor": config.encoder_lr_factor}
        )
    adamw: dict[str, Any] = {"lr": config.lr, "betas": (config.betas[0], config.betas[1]), "fused": True}
    return Muon(groups, **adamw) if muon else torch.optim.AdamW(groups, **adamw)


def learning_rate(config: TrainConfig, images: int) -> float:
    """The denoiser's rate after `images` images: linear warm-up, then decay to 0 at config.images (or none)."""
    warmup = min(1.0, (images + config.batch_size) / max(1, config.warmup_images))
    progress = min(1.0, images / config.images)
    decay = {"cosine": 0.5 * (1 + math.cos(math.pi * progress)), "linear": 1 - progress, "none": 1.0}[config.lr_decay]
    return config.lr * warmup * decay


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_factor"]
