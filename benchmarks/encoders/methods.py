"""Self-supervised methods around one encoder: each gives the loss of a batch of images.

Losses and heads are lightly's, but for the autoencoder. A projection head takes z, so that both z and the features before it are
trained by every method.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from soda.config import AugmentConfig, Config
from soda.data.augment import augment
from soda.model.encoder import build_encoder

HIDDEN, PROJECTED = 512, 128  # of the heads: as wide as the features, a usual length for 32 px
VIEWS = {
    "mild": AugmentConfig(0.95, 0.5, 0.5, 0.0, 0, 0.0, 0.0),
    "strong": AugmentConfig(0.95, 0.2, 0.5, 0.65, 2, 0.3, 0.0),
}
"""Of which each method takes the better on validation: crops and mirrors alone, or what views=paper has."""


class Method(nn.Module, ABC):
    """An encoder and what trains it."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    @abstractmethod
    def loss(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """images: (B, C, S, S) in [-1, 1], not augmented."""

    def after_step(self, done: float) -> None:
        """Called after each step; done: share of the training, 0 to 1."""


class OfViews(Method):
    """A method that compares two views of an image. views: how they are drawn."""

    def __init__(self, encoder: nn.Module, views: str) -> None:
        super().__init__(encoder)
        self.views = VIEWS[views]

    def loss(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return self.of_views(*(augment(images, self.views, generator) for _ in range(2)))

    @abstractmethod
    def of_views(self, first: Tensor, second: Tensor) -> Tensor:
        """The loss of two views of each image, (B, C, S, S) each."""


class SimCLR(OfViews):
    """Chen et al. 2020."""

    def __init__(self, encoder: nn.Module, views: str, dim: int) -> None:
        from lightly.loss import NTXentLoss
        from lightly.models.modules.heads import SimCLRProjectionHead

        super().__init__(encoder, views)
        self.head, self.criterion = SimCLRProjectionHead(dim, HIDDEN, PROJECTED), NTXentLoss(temperature=0.2)

    def of_views(self, first: Tensor, second: Tensor) -> Tensor:
        a, b = self.head(self.encoder(torch.cat([first, second]))).chunk(2)
        return self.criterion(a, b)


class VICReg(OfViews):
    """Bardes et al. 2022."""

    def __init__(self, encoder: nn.Module, views: str, dim: int) -> None:
        from lightly.loss import VICRegLoss
        from lightly.models.modules.heads import VICRegProjectionHead

        super().__init__(encoder, views)
        self.head, self.criterion = VICRegProjectionHead(dim, HIDDEN, HIDDEN), VICRegLoss()

    def of_views(self, first: Tensor, second: Tensor) -> Tensor:
        return self.criterion(self.head(self.encoder(first)), self.head(self.encoder(second)))


class _Follower(OfViews):
    """A method with a slow copy of its encoder and head. base: how slowly it follows at first; at the end it stands."""

    base = 0.99

    def __init__(self, encoder: nn.Module, views: str, make_head: Callable[[], nn.Module]) -> None:
        super().__init__(encoder, views)
        self.head = make_head()
        self.slow = nn.Sequential(copy.deepcopy(encoder), make_head()).requires_grad_(False)  # weight_norm cannot be copied
        self.slow.load_state_dict(nn.Sequential(encoder, self.head).state_dict())

    @torch.no_grad()
    def after_step(self, done: float) -> None:
        keep = 1 - (1 - self.base) * (1 + math.cos(math.pi * min(1.0, done))) / 2
        quick = [*self.encoder.parameters(), *self.head.parameters()]
        torch._foreach_lerp_(list(self.slow.parameters()), quick, 1 - keep)


class BYOL(_Follower):
    """Grill et al. 2020."""

    def __init__(self, encoder: nn.Module, views: str, dim: int) -> None:
        from lightly.loss import NegativeCosineSimilarity
        from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead

        super().__init__(encoder, views, lambda: BYOLProjectionHead(dim, HIDDEN, PROJECTED))
        self.predict, self.criterion = BYOLPredictionHead(PROJECTED, HIDDEN, PROJECTED), NegativeCosineSimilarity()

    def of_views(self, first: Tensor, second: Tensor) -> Tensor:
        a, b = (self.predict(self.head(self.encoder(view))) for view in (first, second))
        with torch.no_grad():
            slow_a, slow_b = self.slow(first), self.slow(second)
        return (self.criterion(a, slow_b) + self.criterion(b, slow_a)) / 2


class DINO(_Follower):
    """Caron et al. 2021, with two views of whole size; at 32 px there is no room for small crops."""

    base, outputs = 0.99, 2048

    def __init__(self, encoder: nn.Module, views: str, dim: int) -> None:
        from lightly.loss import DINOLoss
        from lightly.models.modules.heads import DINOProjectionHead

        super().__init__(encoder, views, lambda: DINOProjectionHead(dim, HIDDEN, PROJECTED, self.outputs, batch_norm=True))
        self.criterion = DINOLoss(self.outputs, warmup_teacher_temp_epochs=0)

    def of_views(self, first: Tensor, second: Tensor) -> Tensor:
        with torch.no_grad():
            taught = [self.slow(view) for view in (first, second)]
        return self.criterion(taught, [self.head(self.encoder(view)) for view in (first, second)], epoch=0)


class Autoencoder(Method):
    """A plain autoencoder: mean squared error of the image itself, as it is. Its decoder mirrors the encoder."""

    def __init__(self, encoder: nn.Module, dim: int, *, channels: int, size: int, width: int) -> None:
        super().__init__(encoder)
        layers: list[nn.Module] = [nn.Linear(dim, 4 * width * 16), nn.ReLU(), nn.Unflatten(1, (4 * width, 4, 4))]
        side, now = 4, 4 * width
        while side < size:
            after = max(width // 2, now // 2)
            layers += [
                nn.Upsample(scale_factor=2),
                nn.Conv2d(now, after, 3, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
            side, now = 2 * side, after
        self.decode = nn.Sequential(*layers, nn.Conv2d(now, channels, 3, padding=1))

    def loss(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return F.mse_loss(self.decode(self.encoder(images)), images)


def _autoencoder(encoder: nn.Module, views: str, config: Config) -> Method:
    about = {"channels": config.dataset.channels, "size": config.dataset.image_size, "width": config.model.encoder_width}
    return Autoencoder(encoder, config.model.latent_dim, **about)


def _of_two_views(kind: Callable[[nn.Module, str, int], Method]) -> Callable[[nn.Module, str, Config], Method]:
    return lambda encoder, views, config: kind(encoder, views, config.model.latent_dim)


METHODS: dict[str, Callable[[nn.Module, str, Config], Method]] = {
    "simclr": _of_two_views(SimCLR),
    "vicreg": _of_two_views(VICReg),
    "byol": _of_two_views(BYOL),
    "dino": _of_two_views(DINO),
    "autoencoder": _autoencoder,
}


def build_method(name: str, views: str, config: Config, seed: int) -> Method:
    """A method around a fresh encoder of these settings; the seed decides all weights."""
    torch.manual_seed(seed)
    encoder = build_encoder(config.model, image_size=config.dataset.image_size, channels=config.dataset.channels)
    return METHODS[name](encoder, views, config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
