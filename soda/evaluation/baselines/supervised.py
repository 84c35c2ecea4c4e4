"""The same encoder, trained from scratch with the labels."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soda.common.errors import InputError
from soda.common.images import to_float
from soda.common.seeds import seed_of
from soda.config import Config
from soda.evaluation.linear_probe import top1
from soda.evaluation.samples import Sample
from soda.model.encoder import build_encoder
from soda.training.batches import Order
from soda.training.fit import Keeping, Recipe, fit


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
    """Train the encoder's architecture by cross-entropy on the labelled images of `train`.

    It takes the SODA run's own number of steps and batch size, optimiser (AdamW), rates, warm-up, clipping and seed, with cosine
    decay; plain images; the last weights are the result. Nothing is tuned. keeping: as `fit` has it.

    Raises ValueError with fewer than two labels.
    """
    settings, labels = config.train, train.labels
    known = np.flatnonzero(labels >= 0)
    kinds = len(np.unique(labels[known]))
    if kinds < 2:
        raise InputError(f"a supervised network takes two labels in train, not {kinds}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("weights", settings.seed))
        encoder = build_encoder(config.model, image_size=config.dataset.image_size, channels=config.dataset.channels)
        network = SupervisedNetwork(encoder, config.model.latent_dim, classes)
    network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    order, size = Order(len(known), settings.seed), settings.batch_size

    def loss_at(step: int) -> Tensor:
        chosen = known[order.indices(step * size, size)]
        images = to_float(train.gather(chosen)).to(device)
        return F.cross_entropy(network(images), torch.from_numpy(labels[chosen]).to(device))

    about = (hashlib.sha256(train.indices[known].tobytes()).hexdigest(), classes)
    fit("supervised", network, loss_at, Recipe.of_run(config, settings.images), keeping=keeping, module=__name__, about=about)
    return network


@torch.no_grad()
def accuracy(network: SupervisedNetwork, sample: Sample, *, batch_size: int, device: torch.device) -> float:
    """Top-1 on the labelled images of `sample`, in [0, 1]; nan when there are none."""
    logits = torch.cat([network(to_float(batch).to(device)).cpu() for batch in sample.batches(batch_size)])
    labels = torch.from_numpy(sample.labels)
    return top1(logits.argmax(1)[labels >= 0], labels[labels >= 0])
