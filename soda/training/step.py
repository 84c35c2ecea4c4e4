"""One training step, and all that it changes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from soda.common.seeds import seed_of
from soda.config import Config, DiffusionConfig
from soda.data.augment import draw_shown
from soda.diffusion.schedule import draw_times, draw_times_in_logsnr, schedule_table
from soda.model.batch import LossDraws, ViewBatch
from soda.model.conditions import mask_cameras
from soda.model.modulation import draw_keep
from soda.model.network import SodaNetwork, build_model
from soda.training.batches import augmented
from soda.training.curves import Row
from soda.training.distributed import ALONE, Processes
from soda.training.ema import ema_copy, update_ema
from soda.training.optim import build_optimizer, learning_rate, set_learning_rate
from soda.training.pupil import Pupil
from soda.training.warm_start import warm_start


@dataclass
class Run:
    """All that changes while training; `state` and `restore` are what a checkpoint holds."""

    model: SodaNetwork
    ema: SodaNetwork
    optimizer: torch.optim.Optimizer
    key: str
    pupil: Pupil | None = None  # of a run with a teacher: the model, and the head that learns from it
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
            **({} if self.pupil is None else {"head": self.pupil.head.state_dict()}),
        }

    @property
    def learner(self) -> nn.Module:
        """What is called for the loss of a batch: the model, or the pupil around it."""
        return self.model if self.pupil is None else self.pupil

    def forget_half_a_step(self) -> None:
        """Take back what an unfinished step has changed: the statistics of BatchNorm, of which the average has copies."""
        for mine, kept in zip(self.model.buffers(), self.ema.buffers(), strict=True):
            mine.copy_(kept)
        self.optimizer.zero_grad(set_to_none=True)

    def restore(self, state: dict[str, Any]) -> None:
        self.step, self.seconds = state["step"], state["seconds"]
        self.rows, self.losses = state["rows"], state["losses"]
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.pupil is not None:
            self.pupil.head.load_state_dict(state["head"])


def start_run(config: Config, key: str, device: torch.device, taught: int = 0) -> Run:
    """A run at step 0; the weights depend on the seed alone, and on `train.init` where there is one.

    At a rate of 0 the encoder takes no gradients.

    taught: the length of the teacher's vectors; 0 without one.
    """
    torch.manual_seed(seed_of("weights", config.train.seed))
    model = build_model(config)
    if config.train.init:
        warm_start(model, config.train.init)
    model.encoder.requires_grad_(config.train.encoder_learns)
    model = model.to(device)
    ema = ema_copy(model)
    assert isinstance(ema, SodaNetwork)
    pupil = Pupil(model, taught, config.train).to(device) if taught else None
    return Run(model, ema, build_optimizer(model, config.train, pupil.head if pupil else None), key, pupil)


def draw_training_times(count: int, settings: DiffusionConfig, generator: torch.Generator) -> Tensor:
    """Times to train at, (count,) int64 in 1 .. T, as the settings say."""
    if settings.time_draw == "power":
        return draw_times(count, settings.num_timesteps, settings.time_power, generator)
    return draw_times_in_logsnr(
        count,
        schedule_table(settings.schedule, settings.num_timesteps),
        mean=settings.logsnr_mean,
        std=settings.logsnr_std,
        floor_share=settings.floor_share,
        generator=generator,
    )


def draw_loss(batch: ViewBatch, config: Config, generator: torch.Generator) -> LossDraws:
    """Times, noise and masks of a batch of views."""
    device, sources = batch.target.device, batch.sources.shape[1]
    shown = draw_shown(len(batch), sources, generator).to(device) if sources > 1 else None
    t = draw_training_times(len(batch), config.diffusion, generator).to(device)
    noise = torch.randn(batch.target.shape, generator=generator).to(device, memory_format=torch.channels_last)
    return LossDraws(t, noise, draw_keep(len(batch), config.model, generator, device), shown)


def step_loss(network: nn.Module, config: Config, batch: ViewBatch, seed: int, team: Processes = ALONE) -> Tensor:
    """The loss of one batch of images as they are: views, times, noise and masks all drawn from `seed`.

    batch: of all processes together. Each draws for all of it and takes its share, so that it does not matter how many they
    are; dropout alone is drawn by each process for itself.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed if team.leads else seed_of("dropout", seed, team.rank))  # dropout draws from the global generator
    batch = augmented(batch, config.views, generator)
    draws = draw_loss(batch, config, generator)
    batch = mask_cameras(batch, config.model.cameras, generator)
    mine = team.share(len(batch))
    bf16 = config.train.precision == "bf16"
    with torch.autocast(batch.target.device.type, torch.bfloat16) if bf16 else contextlib.nullcontext():
        loss: Tensor = network(batch[mine], draws[mine])
    return loss


def optimise(run: Run, network: nn.Module, config: Config, batch: ViewBatch, team: Processes = ALONE) -> Tensor:
    """One step: gradients, clipping, AdamW, EMA. Returns the loss of the whole batch, still on its device.

    Of a run with a teacher that is the diffusion's part of it, as the loss on validation is.

    Raises LostProcessError; weights, averages and optimizer are then those of the step before.
    """
    set_learning_rate(run.optimizer, learning_rate(config.train, run.step * config.train.batch_size))
    loss = step_loss(network, config, batch, seed_of("step", config.train.seed, 0, run.step), team)
    loss.backward()
    parameters = list(run.learner.parameters())
    shown = loss.detach()
    if run.pupil is not None:
        shown = shown - run.pupil.weight * run.pupil.distance
    loss = team.average(parameters, shown)
    nn.utils.clip_grad_norm_(parameters, config.train.grad_clip)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    update_ema(run.ema, run.model, config.train, run.step)
    run.step += 1
    return loss
