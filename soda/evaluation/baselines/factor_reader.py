"""The instrument of mixes and edits: a classifier that reads the known factors off pictures, trained apart from SODA.

It sees training pictures and their factors, never z. Where the content is held out (emoji that are split by code point) no
classifier can name it; an embedding that brings pictures of one content together then recognises it among candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from soda.common.errors import InputError
from soda.common.images import to_float
from soda.common.seeds import seed_of
from soda.config import EvaluateConfig
from soda.evaluation.samples import Sample
from soda.model.encoder import TinyEncoder
from soda.training.batches import Order
from soda.training.fit import Recipe, fit

WIDTH, FEATURES, EMBEDDING = 32, 128, 64
BATCH, RATE, TEMPERATURE = 64, 2e-3, 0.1
BLUR, NOISE = 0.5, 0.05
"""Drawn pictures are softer than real ones: a reader trained on sharp pictures alone would mistake softness for a factor."""

Codes = dict[str, np.ndarray]


class FactorReader(nn.Module):
    """A convolutional trunk with one linear head a factor and, for held-out content, an embedding of length 1."""

    def __init__(self, *, channels: int, image_size: int, values: dict[str, int], embeds: bool) -> None:
        super().__init__()
        self.factors = list(values)
        self.trunk = TinyEncoder(channels=channels, width=WIDTH, latent_dim=FEATURES, small_stem=image_size <= 64)
        self.heads = nn.ModuleList([nn.Linear(FEATURES, count) for count in values.values()])
        self.embedding = nn.Linear(FEATURES, EMBEDDING) if embeds else None

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """images: (B, C, S, S) in [-1, 1] -> logits (B, values) of each factor, and embeddings (B, EMBEDDING) or None."""
        features = F.relu(self.trunk(images))
        embedded = F.normalize(self.embedding(features), dim=1) if self.embedding is not None else None
        return [head(features) for head in self.heads], embedded


@dataclass(frozen=True)
class Reading:
    """What the reader says of N pictures. chances: factor -> (N, values), each row sums to 1; embedding: (N, E) or None."""

    chances: dict[str, np.ndarray]
    embedding: np.ndarray | None

    def answers(self, factor: str) -> np.ndarray:
        """The likeliest value of each picture: (N,) int64."""
        return self.chances[factor].argmax(1)


@torch.no_grad()
def read(reader: FactorReader, images: np.ndarray, *, batch_size: int = 250) -> Reading:
    """Read images (N, S, S, C) uint8. The reader must be in eval mode."""
    device = next(reader.parameters()).device
    logits: list[list[Tensor]] = []
    embedded: list[Tensor] = []
    for start in range(0, len(images), batch_size):
        heads, vector = reader(to_float(images[start : start + batch_size]).to(device))
        logits.append([head.softmax(1).cpu() for head in heads])
        if vector is not None:
            embedded.append(vector.cpu())
    chances = {name: torch.cat([block[k] for block in logits]).numpy() for k, name in enumerate(reader.factors)}
    return Reading(chances, torch.cat(embedded).numpy() if embedded else None)


def accuracy(reading: Reading, codes: Codes) -> dict[str, float]:
    """Share of right answers for each factor, over the pictures that have a value of it."""
    found = {}
    for name in reading.chances:
        known = codes[name] >= 0
        found[name] = float((reading.answers(name)[known] == codes[name][known]).mean()) if known.any() else float("nan")
    return found


def _soften(images: Tensor, generator: torch.Generator) -> Tensor:
    """A share of BLUR of the pictures blurred to a degree of their own, a little noise on all."""
    degree = torch.rand(len(images), 1, 1, 1, generator=generator)
    degree = torch.where(torch.rand(len(images), 1, 1, 1, generator=generator) < BLUR, degree, torch.zeros_like(degree))
    blurred = F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    noise = NOISE * torch.randn(images.shape, generator=generator)
    return torch.lerp(images, blurred, degree.to(images.device)) + noise.to(images.device)


def _contrast(embedded: Tensor, content: Tensor) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, eq. 2) of (B, E) by content (B,); pictures without a partner stay out."""
    alike = (content[:, None] == content[None]) & (content >= 0)[:, None]
    alike.fill_diagonal_(False)
    scores = embedded @ embedded.T / TEMPERATURE
    scores = scores.masked_fill(torch.eye(len(scores), dtype=torch.bool, device=scores.device), -1e9)
    shares = scores.log_softmax(1)
    partners = alike.sum(1)
    if not bool(partners.any()):
        return embedded.sum() * 0
    return -((shares * alike).sum(1)[partners > 0] / partners[partners > 0]).mean()


def _partners(content: np.ndarray, chosen: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """For each of `chosen` another picture of the same content, or itself where there is none: (len(chosen),)."""
    order = np.argsort(content, kind="stable")
    first = np.searchsorted(content[order], content[chosen], "left")
    count = np.searchsorted(content[order], content[chosen], "right") - first
    picks = order[first + generator.integers(0, count)]
    again = order[first + (generator.integers(0, count) + 1) % count]
    return np.where(picks == chosen, again, picks)


def train_reader(
    train: Sample, codes: Codes, values: dict[str, int], *, content: str | None, config: EvaluateConfig, device: torch.device
) -> FactorReader:
    """Train on `reader_images` pictures of `train` by cross-entropy on every factor of `values` (factor -> number of values).

    codes: factor -> (n,), -1 missing, beside `train`. content: the factor that the embedding brings together, or None.
    AdamW with cosine decay, pictures softened; the same arguments give the same reader. Raises ValueError when there is
    nothing to learn.
    """
    if not values and content is None:
        raise InputError("a reader takes at least one factor to learn")
    seed, shape = config.seed, train.gather(np.array([0])).shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("reader", seed))
        reader = FactorReader(channels=shape[3], image_size=shape[1], values=values, embeds=content is not None)
    reader = reader.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps, order = max(1, config.reader_images // BATCH), Order(len(train), seed_of("reader", seed))

    def loss_at(step: int) -> Tensor:
        half = BATCH // 2 if content is not None else BATCH
        chosen = order.indices(step * half, half)
        if content is not None:
            partners = _partners(codes[content], chosen, np.random.default_rng(seed_of("partners", seed, step)))
            chosen = np.concatenate([chosen, partners])
        generator = torch.Generator().manual_seed(seed_of("reader", seed, step))
        logits, embedded = reader(_soften(to_float(train.gather(chosen)).to(device), generator))
        loss = torch.zeros((), device=device)
        for name, scores in zip(values, logits, strict=True):
            wanted = torch.from_numpy(codes[name][chosen]).to(device)
            if bool((wanted >= 0).any()):
                loss = loss + F.cross_entropy(scores, wanted, ignore_index=-1)
        if content is not None and embedded is not None:
            loss = loss + _contrast(embedded, torch.from_numpy(codes[content][chosen]).to(device))
        return loss

    schedule = partial(OneCycleLR, max_lr=RATE, total_steps=steps + 1)
    fit("factor reader", reader, loss_at, Recipe(steps, schedule, weight_decay=0.01, clip=1.0))
    return reader
