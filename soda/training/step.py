"""One training step, and all that it changes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from soda.common.seeds import seed_of
from soda.config import Config
from soda.data.augment import augment, draw_shown, recolour, view_pair
from soda.diffusion.schedule import draw_times
from soda.model.conditions import mask_cameras
from soda.model.modulation import draw_keep
from soda.model.network import SodaNetwork, build_model
from soda.training.curves import Row
from soda.training.ema import ema_copy, update_ema
from soda.training.optim import build_optimizer, learning_rate, set_learning_rate


@dataclass
class Run:
    """All that changes while training; `state` and `restore` are what a checkpoint holds."""

    model: SodaNetwork
    ema: SodaNetwork
    optimizer: torch.optim.Optimizer
    key: str
    step: int = 0
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # since the last row

    def state(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "step": self.step,
            "seconds": self.seconds,
            "rows": self.rows,
            "losses": self.losses,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.step, self.seconds = state["step"], state["seconds"]
        self.rows, self.losses = state["rows"], state["losses"]
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])


def start_run(config: Config, key: str, device: torch.device) -> Run:
    """A run at step 0; the weights depend on the seed alone."""
    torch.manual_seed(seed_of("weights", config.train.seed))
    model = build_model(config).to(device)
    ema = ema_copy(model)
    assert isinstance(ema, SodaNetwork)
    return Run(model, ema, build_optimizer(model, config.train), key)


def step_loss(network: nn.Module, config: Config, images: Tensor, seed: int, cameras: Tensor | None = None) -> Tensor:
    """The loss of one batch (b, C, S, S) in [-1, 1]: views, times, noise and masks all drawn from `seed`.

    images: the channels of source, target, then a style or further sources, as `batches` yields them. cameras: (b, V, 16), in
    this order, of a model that is told of them.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # dropout draws from the global generator
    C, pairs = config.dataset.channels, config.views.pairs
    if config.views.recolour:
        images = recolour(images, C, config.views.recolour, generator)
    beside = [augment(images[:, k : k + C], config.views.source, generator) for k in range(2 * C, images.shape[1], C)]
    source, target = view_pair(images[:, : 2 * C], config.views, generator)
    views: dict[str, Any] = {}
    if pairs.style_sections:
        views = {"style": beside[0], "style_sections": pairs.style_sections}
    elif beside:
        source = torch.stack((source, *beside), dim=1)  # (b, sources, C, S, S)
        views = {"shown": draw_shown(len(images), pairs.sources, generator).to(images.device)}
    t = draw_times(len(images), config.diffusion.num_timesteps, config.diffusion.time_power, generator).to(images.device)
    noise = torch.randn(target.shape, generator=generator).to(images.device, memory_format=torch.channels_last)
    # Without layer modulation sections need not divide z: it is then dropped whole or not at all.
    sections = config.model.sections if config.model.latent_dim % config.model.sections == 0 else 1
    keep = draw_keep(len(images), sections, config.model.section_drop, config.model.latent_drop, generator, images.device)
    posed = {}
    if cameras is not None:
        posed["source_cameras"], posed["target_cameras"] = mask_cameras(cameras, config.model.cameras, generator)
    bf16 = config.train.precision == "bf16"
    with torch.autocast(images.device.type, torch.bfloat16) if bf16 else contextlib.nullcontext():
        loss: Tensor = network(source, target, t, noise, keep=keep, **views, **posed)
    return loss


def optimise(run: Run, network: nn.Module, config: Config, images: Tensor, rank: int, cameras: Tensor | None = None) -> Tensor:
    """One step: gradients, clipping, AdamW, EMA. Returns the loss, still on its device."""
    set_learning_rate(run.optimizer, learning_rate(config.train, run.step * config.train.batch_size))
    loss = step_loss(network, config, images, seed_of("step", config.train.seed, rank, run.step), cameras)
    loss.backward()
    nn.utils.clip_grad_norm_(run.model.parameters(), config.train.grad_clip)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    update_ema(run.ema, run.model, config.train.ema_decay, run.step)
    run.step += 1
    return loss.detach()
