"""A network of the model's own size that draws a novel view in one step: the same encoder and U-Net without diffusion.

It answers with the mean of the views that its sources leave open, which is what PSNR rewards: whatever a diffusion model is
said to win in PSNR, it has to win over this.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from soda.common.seeds import seed_of
from soda.config import Config
from soda.data.augment import draw_shown
from soda.data.dataset import Split
from soda.data.pairs import Partners
from soda.inference.drawer import Drawer
from soda.model.conditions import Context, mask_cameras
from soda.model.network import SodaNetwork, build_model
from soda.training.batches import Reader, augmented
from soda.training.fit import Keeping, Recipe, fit


def one_step(network: SodaNetwork, z: Tensor, cameras: Tensor, context: Context | None = None) -> Tensor:
    """The view of each camera (B, 16) from z (B, D), as a plain output of the U-Net: (B, C, S, S), about [-1, 1].

    In the place of x_t it is given zeros, at t = T: nothing of the target.
    """
    nothing = z.new_zeros(len(z), network.channels, network.image_size, network.image_size)
    last = torch.full((len(z),), network.schedule.num_timesteps, dtype=torch.long, device=z.device)
    return network.predict(nothing, last, z, cameras, context)[0]


def train_one_step(
    config: Config, train: Split, partners: Partners, *, images: int, device: torch.device, keeping: Keeping | None = None
) -> SodaNetwork:
    """Train encoder and U-Net to draw the target view by its mean squared error, on the first `images` pairs of the SODA run.

    The same initial weights, pairs in the same order, recolouring, number of sources and masked source cameras as that run has;
    AdamW at its rate for the denoiser, cosine decay; the last weights count; nothing is tuned. keeping: as `fit` has it.
    """
    settings = config.train
    short = replace(
        config,
        diffusion=replace(config.diffusion, prediction="x_0"),
        train=replace(settings, encoder_lr_factor=1.0, warmup_images=min(settings.warmup_images, images // 10)),
    )
    cameras = replace(config.model.cameras, target_drop=0.0)  # it is never asked for a view without its camera
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("weights", settings.seed))
        network = build_model(short).to(device)
    reader = Reader(train, partners, settings, posed=True)

    def loss_at(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed_of("one step", settings.seed, step))
        batch = augmented(reader.at(step), config.views, generator)
        batch = mask_cameras(batch, cameras, generator).to(device)
        sources = batch.sources.shape[1]
        shown = draw_shown(len(batch), sources, generator).to(device) if sources > 1 else None
        z, context = network.encode_batch(batch, shown)
        assert batch.target_cameras is not None
        return F.mse_loss(one_step(network, z, batch.target_cameras, context), batch.target)

    fit("one step", network, loss_at, Recipe.of_run(short, images), keeping=keeping, module=__name__)
    return network


@torch.no_grad()
def draw_one_step(drawer: Drawer, views: Tensor, source_cameras: Tensor, targets: Tensor) -> Tensor:
    """What the network of `drawer` makes of sources (T, V, C, S, S) with cameras (T, V, 16), seen by `targets` (T, 16).

    Returns (T, C, S, S) in [-1, 1].
    """
    z, context = drawer.encode_views(views, source_cameras)
    drawn = []
    for start in range(0, len(z), drawer.batch_size):
        rows, device = slice(start, start + drawer.batch_size), drawer.device
        seen = None if context is None else context[rows].to(device)
        drawn.append(one_step(drawer.network, z[rows].to(device), targets[rows].to(device), seen).clamp(-1, 1).cpu())
    return torch.cat(drawn)
