"""What the frozen encoder stands next to: the same encoder untrained, and the same encoder trained with the labels."""

from __future__ import annotations

import copy
import hashlib
import logging
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soda.common.errors import InputError
from soda.common.images import to_float
from soda.common.seeds import seed_of
from soda.config import Config, TrainConfig
from soda.evaluation.kept import Keeping, train_kept
from soda.evaluation.latents import Sample, embed
from soda.evaluation.probe import linear_probe, top1
from soda.model.encoder import build_encoder
from soda.model.network import build_model
from soda.training.batches import Order
from soda.training.optim import learning_rate

log = logging.getLogger(__name__)

CALIBRATION_PICTURES = 512
CHOICE_PICTURES = 4000  # on which it is decided how the untrained encoder does better


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


def initial_encoder(config: Config) -> nn.Module:
    """The encoder with the very weights from which the SODA run of this configuration started, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("weights", config.train.seed))
        encoder = build_model(config).encoder
    return encoder.requires_grad_(False).eval()


def random_encoder(
    config: Config, train: Sample, val: Sample, *, l2: float, batch_size: int, device: torch.device
) -> tuple[nn.Module, bool]:
    """The untrained encoder at its best: (encoder in eval mode, whether training pictures set its BatchNorm statistics).

    As initialised BatchNorm does nothing, and activations shrink or grow from layer to layer; with statistics of
    CALIBRATION_PICTURES training pictures it normalises. Which probes better on validation is kept; without labels the latter.
    """
    plain = initial_encoder(config).to(device)
    calibrated = copy.deepcopy(plain)
    calibrate_batchnorm(calibrated, to_float(train.gather(_spread(train, CALIBRATION_PICTURES))).to(device))
    few, judges = (Sample(s.split, s.indices[_spread(s, CHOICE_PICTURES)]) for s in (train, val))
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


class SupervisedNetwork(nn.Module):
    """The same encoder with a linear layer on z."""

    def __init__(self, encoder: nn.Module, latent_dim: int, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(latent_dim, classes)

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, C, S, S) in [-1, 1] -> logits (B, classes)."""
        return self.head(self.encoder(images))


def train_supervised(
    config: Config, train: Sample, classes: int, *, device: torch.device, keeping: Keeping | None = None
) -> SupervisedNetwork:
    """Train the encoder's architecture from scratch by cross-entropy on the labelled pictures of `train`.

    It takes the SODA run's own number of steps and batch size, optimiser (AdamW), rates, warm-up, clipping and seed, with cosine
    decay; plain pictures; the last weights are the result. Nothing is tuned. keeping: as `train_kept` has it.

    Raises ValueError with fewer than two labels.
    """
    settings = config.train
    labels = train.labels
    known = np.flatnonzero(labels >= 0)
    kinds = len(np.unique(labels[known]))
    if kinds < 2:
        raise InputError(f"a supervised network wants two labels in train, got {kinds}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("weights", settings.seed))
        encoder = build_encoder(config.model, image_size=config.dataset.image_size, channels=config.dataset.channels)
        network = SupervisedNetwork(encoder, config.model.latent_dim, classes)
    network = network.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay)
    steps = -(-settings.images // settings.batch_size)
    order = Order(len(known), settings.seed)

    def optimise(step: int) -> None:
        chosen = known[order.indices(step * settings.batch_size, settings.batch_size)]
        for group in optimizer.param_groups:
            group["lr"] = _rate(settings, step * settings.batch_size)
        images = to_float(train.gather(chosen)).to(device)
        loss = F.cross_entropy(network(images), torch.from_numpy(labels[chosen]).to(device))
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), settings.grad_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    pictures = hashlib.sha256(train.indices[known].tobytes()).hexdigest()
    about = [pictures, classes]
    train_kept("supervised", config, network, optimizer, steps, optimise, keeping=keeping, module=__name__, about=about)
    return network.requires_grad_(False).eval()


def _rate(settings: TrainConfig, images: int) -> float:
    return learning_rate(replace(settings, lr_decay="cosine"), images) * settings.encoder_lr_factor


@torch.no_grad()
def accuracy(network: SupervisedNetwork, sample: Sample, *, batch_size: int, device: torch.device) -> float:
    """Top-1 on the labelled pictures of `sample`, in [0, 1]; nan when there are none."""
    logits = torch.cat([network(to_float(batch).to(device)).cpu() for batch in sample.batches(batch_size)])
    labels = torch.from_numpy(sample.labels)
    return top1(logits.argmax(1)[labels >= 0], labels[labels >= 0])
