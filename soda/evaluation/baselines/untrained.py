"""The same encoder before training, at its best."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from soda.common.images import to_float
from soda.common.seeds import seed_of
from soda.config import Config
from soda.evaluation.linear_probe import linear_probe
from soda.evaluation.samples import Sample, embed
from soda.model.network import build_model
from soda.training.warm_start import warm_start

CALIBRATION_IMAGES = 512
CHOICE_IMAGES = 4000  # on which it is decided how the untrained encoder does better


@torch.no_grad()
def calibrate_batchnorm(encoder: nn.Module, images: Tensor, batch_size: int = 128) -> None:
    """Set the running statistics of every BatchNorm to averages over `images` (N, C, S, S); leaves the encoder in eval mode."""
    layers = [module for module in encoder.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    encoder.train()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # None: the plain average of the batches
    for block in images.split(batch_size):
        if len(block) > 1:
            encoder(block)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    encoder.eval()


def initial_encoder(config: Config, draw: int = 0) -> nn.Module:
    """The encoder with the very weights that the SODA run of this configuration drew, in eval mode.

    draw: above 0, the weights that a run with so much greater a seed would draw.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("weights", config.train.seed + draw))
        encoder = build_model(config).encoder
    return encoder.requires_grad_(False).eval()


def begun_encoder(config: Config) -> nn.Module | None:
    """The encoder as training took it over from another model, in eval mode; None where it began with drawn weights, or is still
    as it began.

    Raises SodaError where `train.init` is not here.
    """
    if not config.train.init or not config.train.encoder_learns:
        return None
    model = build_model(config)
    warm_start(model, config.train.init)
    return model.encoder.requires_grad_(False).eval()


def calibrated_encoder(config: Config, train: Sample, device: torch.device, draw: int = 0) -> nn.Module:
    """`initial_encoder` with its BatchNorm statistics set by CALIBRATION_IMAGES images of train."""
    encoder = initial_encoder(config, draw).to(device)
    calibrate_batchnorm(encoder, to_float(train.gather(_spread(train, CALIBRATION_IMAGES))).to(device))
    return encoder


def untrained_encoder(
    config: Config, train: Sample, val: Sample, *, l2: float, batch_size: int, device: torch.device
) -> tuple[nn.Module, bool]:
    """The untrained encoder at its best: (encoder in eval mode, whether training pictures set its BatchNorm statistics).

    As initialised BatchNorm does nothing, and activations shrink or grow from layer to layer; with statistics of
    CALIBRATION_IMAGES training pictures it normalises. Which probes better on validation is kept; without labels the latter.
    """
    plain, calibrated = initial_encoder(config).to(device), calibrated_encoder(config, train, device)
    few, judges = (Sample(s.split, s.indices[_spread(s, CHOICE_IMAGES)]) for s in (train, val))
    if len(np.setdiff1d(few.labels, [-1])) < 2 or not (judges.labels >= 0).any():
        return calibrated, True
    classes = int(max(few.labels.max(), judges.labels.max())) + 1
    scores = []
    for encoder in (plain, calibrated):
        known, asked = (embed(encoder, sample, batch_size=batch_size, device=device) for sample in (few, judges))
        scores.append(linear_probe(known, asked, asked, classes=classes, l2=(l2,)).test_top1)
    return (calibrated, True) if scores[1] >= scores[0] else (plain, False)


def _spread(sample: Sample, limit: int) -> np.ndarray:
    """At most `limit` positions in the sample, evenly spread."""
    return np.unique(np.linspace(0, len(sample) - 1, min(len(sample), limit)).round().astype(np.int64))
