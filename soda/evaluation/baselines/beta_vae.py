"""A beta-VAE with SODA's encoder, or a beta-TCVAE: same data, as many operations, another objective than SODA's.

Higgins et al. 2017 (ICLR): minimise -log p(x | z) + beta KL(q(z | x) || N(0, I)), summed over pixels and components; pixels are
Bernoulli, as in Locatello et al. 2019. beta-TCVAE (Chen et al. 2018) weighs by beta the total correlation alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from soda.common.images import to_float
from soda.common.seeds import seed_of
from soda.config import Config
from soda.evaluation.baselines.total_correlation import total_correlation
from soda.evaluation.samples import Sample
from soda.model.batch import ViewBatch
from soda.model.encoder import build_encoder
from soda.model.network import build_model
from soda.training.batches import Order
from soda.training.fit import Keeping, Recipe, fit
from soda.training.step import step_loss


class BetaVAE(nn.Module):
    """SODA's encoder with a head twice as long, for means and log-variances; the decoder grows from 4 px by doubling."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        model, size, channels = config.model, config.dataset.image_size, config.dataset.channels
        twice = replace(model, latent_dim=2 * model.latent_dim, encoder_head="linear")  # log-variances have either sign
        self.encoder = build_encoder(twice, image_size=size, channels=channels)
        width, side = model.encoder_width, 4
        layers: list[nn.Module] = [
            nn.Linear(model.latent_dim, 2 * width * side * side),
            nn.ReLU(),
            nn.Unflatten(1, (2 * width, side, side)),
        ]
        here = 2 * width
        while side < size:
            side *= 2
            out = max(width // 2, 8) if side >= size else width
            layers += [nn.ConvTranspose2d(here, out, 4, 2, 1), nn.ReLU()]
            here = out
        self.decoder = nn.Sequential(*layers, nn.Conv2d(here, channels, 3, padding=1))
        self.size = size

    def forward(self, images: Tensor, noise: Tensor, beta: float, points: int = 0) -> Tensor:
        """The loss per picture, divided by the number of pixels. images: (B, C, S, S) in [-1, 1]; noise: (B, D).

        points: how many images are trained on, for a beta-TCVAE; 0 for a beta-VAE.
        """
        mean, log_variance = self.encoder(images).chunk(2, dim=1)  # (B, D) each
        z = mean + (0.5 * log_variance).exp() * noise
        drawn = self.decoder(z)[..., : self.size, : self.size]
        error = F.binary_cross_entropy_with_logits(drawn, (images + 1) / 2, reduction="none").flatten(1).sum(1).mean()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        if points:
            # The divergence is total correlation, information and the components' own divergences: one more of the first each.
            regular = divergence + (beta - 1) * total_correlation(z, mean, log_variance, points)
        else:
            regular = beta * divergence
        return (error + regular) / images[0].numel()


class Means(nn.Module):
    """The mean of q(z | x), which is what stands for a picture. images: (B, C, S, S) in [-1, 1] -> (B, D)."""

    def __init__(self, vae: BetaVAE) -> None:
        super().__init__()
        self.encoder = vae.encoder

    def forward(self, images: Tensor) -> Tensor:
        return self.encoder(images).chunk(2, dim=1)[0]


def _step_flops(network: nn.Module, loss_of: Any) -> int:
    with FlopCounterMode(display=False) as counter:
        loss_of().backward()
    network.zero_grad(set_to_none=True)
    return counter.get_total_flops()


def _some_batch(config: Config, count: int) -> ViewBatch:
    """Noise with as many views as the training has: one for both sides, or pairs with a style or further sources beside them."""
    size, pairs = config.dataset.image_size, config.views.pairs
    target, *sources = torch.rand(1 + pairs.sources, count, config.dataset.channels, size, size) * 2 - 1
    if pairs.by == "picture":
        return ViewBatch.of(target)
    style = sources[0] if pairs.style_sections else None
    return ViewBatch(torch.stack(sources, 1), target, style, pairs.style_sections)


def images_of_equal_compute(config: Config, share: float = 1.0) -> int:
    """Pictures on which the VAE may train so that its steps take `share` of the operations of the SODA run of `config`.

    Counted, not clocked (forward and backward, one batch of each, SODA's with all the views that its training encodes): the
    same number on every machine, and the same time where the machine does both equally well.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        soda, vae = build_model(config), BetaVAE(config)
        batch = _some_batch(config, 4)
        soda_flops = _step_flops(soda, lambda: step_loss(soda, config, batch, 0))
        vae_flops = _step_flops(vae, lambda: vae(batch.target, torch.randn(len(batch), config.model.latent_dim), 1.0))
    return max(config.train.batch_size, round(share * config.train.images * soda_flops / vae_flops))


def train_beta_vae(
    config: Config,
    train: Sample,
    *,
    images: int,
    beta: float,
    device: torch.device,
    tc: bool = False,
    keeping: Keeping | None = None,
) -> nn.Module:
    """Train on `images` images of `train` and return the encoder of the means, in eval mode. tc: a beta-TCVAE.

    Batch size, rates, warm-up, weight decay, clipping and seed are the SODA run's, with cosine decay; the last weights count;
    nothing is tuned. keeping: as `fit` has it.
    """
    seed, size = config.train.seed, config.train.batch_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("weights", seed))
        network = BetaVAE(config).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    order = Order(len(train), seed_of("beta-vae", seed))

    def loss_at(step: int) -> Tensor:
        batch = to_float(train.gather(order.indices(step * size, size))).to(device)
        generator = torch.Generator().manual_seed(seed_of("beta-vae", seed, step))
        noise = torch.randn(size, config.model.latent_dim, generator=generator).to(device)
        return network(batch, noise, beta, len(train) if tc else 0)

    about = (hashlib.sha256(train.indices.tobytes()).hexdigest(), beta, *(["tc"] if tc else []))
    recipe = Recipe.of_run(config, -(-images // size) * size)  # whole batches
    fit("beta-vae", network, loss_at, recipe, keeping=keeping, module=__name__, about=about)
    return Means(network).eval()
