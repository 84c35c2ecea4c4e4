"""A beta-VAE with SODA's encoder, the baseline of disentanglement: same data, as many operations, another objective.

Higgins et al. 2017 (ICLR): minimise -log p(x | z) + beta KL(q(z | x) || N(0, I)), summed over pixels and components; pixels are
Bernoulli, as in Locatello et al. 2019.
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
from soda.evaluation.kept import Keeping, train_kept
from soda.evaluation.latents import Sample
from soda.model.encoder import build_encoder
from soda.model.network import build_model
from soda.training.batches import Order
from soda.training.optim import learning_rate
from soda.training.step import step_loss


class BetaVAE(nn.Module):
    """SODA's encoder with a head twice as long, for means and log-variances; the decoder grows from 4 px by doubling."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        model, size, channels = config.model, config.dataset.image_size, config.dataset.channels
        self.encoder = build_encoder(replace(model, latent_dim=2 * model.latent_dim), image_size=size, channels=channels)
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

    def forward(self, images: Tensor, noise: Tensor, beta: float) -> Tensor:
        """The loss per picture, divided by the number of pixels. images: (B, C, S, S) in [-1, 1]; noise: (B, D)."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)  # (B, D) each
        drawn = self.decoder(mean + (0.5 * log_variance).exp() * noise)[..., : self.size, : self.size]
        error = F.binary_cross_entropy_with_logits(drawn, (images + 1) / 2, reduction="none").flatten(1).sum(1)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        return (error + beta * divergence).mean() / images[0].numel()


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


def images_of_equal_compute(config: Config, share: float = 1.0) -> int:
    """Pictures on which the VAE may train so that its steps take `share` of the operations of the SODA run of `config`.

    Counted, not clocked (forward and backward, one batch of each, SODA's with all the views that its training encodes): the
    same number on every machine, and the same time where the machine does both equally well.
    """
    size, channels, pairs, count = config.dataset.image_size, config.dataset.channels, config.views.pairs, 4
    # One picture for both views; or source and target, and a style or further sources beside them.
    views = 1 if pairs.by == "picture" else 2 + (1 if pairs.style_sections else pairs.sources - 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        soda, vae = build_model(config), BetaVAE(config)
        images = torch.rand(count, views * channels, size, size) * 2 - 1
        soda_flops = _step_flops(soda, lambda: step_loss(soda, config, images, 0))
        vae_flops = _step_flops(vae, lambda: vae(images[:, :channels], torch.randn(count, config.model.latent_dim), 1.0))
    return max(config.train.batch_size, round(share * config.train.images * soda_flops / vae_flops))


def train_beta_vae(
    config: Config,
    train: Sample,
    *,
    images: int,
    beta: float,
    device: torch.device,
    keeping: Keeping | None = None,
) -> nn.Module:
    """Train on `images` pictures of `train` and return the encoder of the means, in eval mode.

    Batch size, rates, warm-up, weight decay, clipping and seed are the SODA run's, with cosine decay; the last weights count;
    nothing is tuned. keeping: as `train_kept` has it.
    """
    settings = config.train
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("weights", settings.seed))
        network = BetaVAE(config).to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay)
    steps = -(-images // settings.batch_size)
    order = Order(len(train), seed_of("beta-vae", settings.seed))
    about = [hashlib.sha256(train.indices.tobytes()).hexdigest(), images, beta]

    def optimise(step: int) -> None:
        _optimise(config, network, optimizer, train, order, step, steps, beta, device)

    train_kept("beta-vae", config, network, optimizer, steps, optimise, keeping=keeping, module=__name__, about=about)
    return Means(network).requires_grad_(False).eval()


def _optimise(
    config: Config,
    network: BetaVAE,
    optimizer: torch.optim.Optimizer,
    train: Sample,
    order: Order,
    step: int,
    steps: int,
    beta: float,
    device: torch.device,
) -> None:
    settings = config.train
    seen = step * settings.batch_size
    batch = to_float(train.gather(order.indices(seen, settings.batch_size))).to(device)
    rate = learning_rate(replace(settings, images=steps * settings.batch_size, lr_decay="cosine"), seen)
    for group in optimizer.param_groups:
        group["lr"] = rate * settings.encoder_lr_factor
    generator = torch.Generator().manual_seed(seed_of("beta-vae", settings.seed, step))
    noise = torch.randn(len(batch), config.model.latent_dim, generator=generator).to(device)
    network(batch, noise, beta).backward()
    nn.utils.clip_grad_norm_(network.parameters(), settings.grad_clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
