"""One loop for the small trainings of an evaluation, the baselines: to the same weights each time, kept where they take long."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from tqdm import tqdm

from soda.common.cores import keep_freed_memory
from soda.common.fingerprint import code_fingerprint
from soda.config import Config, to_dict
from soda.training.checkpoint import load_checkpoint, save_checkpoint, train_settings
from soda.training.optim import learning_rate

SAVE_EVERY = 500  # steps


@dataclass(frozen=True)
class Keeping:
    """Where training is kept, and what it is about beside its settings."""

    runs: Path
    data_version: str


@dataclass(frozen=True)
class Recipe:
    """How a network is trained by AdamW. schedule: makes the scheduler of its rate; clip: greatest norm of a gradient.

    about: what decides the weights beside the network and the data, as plain values, for what is kept.
    """

    steps: int
    schedule: Callable[[torch.optim.Optimizer], LRScheduler]
    weight_decay: float
    clip: float
    betas: tuple[float, float] = (0.9, 0.999)
    about: list[Any] = field(default_factory=list)

    @classmethod
    def of_run(cls, config: Config, images: int) -> Recipe:
        """The SODA run's own batch size, rates, warm-up, weight decay and clipping, with cosine decay over `images`.

        The rates are its encoder's; its denoiser's where that run's encoder does not learn.
        """
        settings = replace(config.train, images=images, lr_decay="cosine")
        factor = settings.encoder_lr_factor or 1.0

        def rate(step: int) -> float:
            return learning_rate(settings, step * settings.batch_size) * factor

        return cls(
            steps=-(-images // settings.batch_size),
            schedule=lambda optimizer: LambdaLR(optimizer, rate),
            weight_decay=settings.weight_decay,
            clip=settings.grad_clip,
            betas=(settings.betas[0], settings.betas[1]),
            about=[train_settings(config), to_dict(config)["model"], images],
        )


def fit(
    name: str,
    network: nn.Module,
    loss_at: Callable[[int], Tensor],
    recipe: Recipe,
    *,
    keeping: Keeping | None = None,
    module: str = __name__,
    about: tuple[Any, ...] = (),
) -> None:
    """Train `network` in place, from the loss of each step, and leave it in eval mode without gradients.

    loss_at: draws its batch and its noise from (seed, step) alone. With `keeping` the state is put into
    runs/<name>-<key>/checkpoint.pt every SAVE_EVERY steps; training goes on from there, to the same weights, and a finished one
    is not trained again. The key is of the recipe, the code of `module`, which calls this, the data and `about`: what else
    decides the weights.
    """
    keep_freed_memory()
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1.0, betas=recipe.betas, weight_decay=recipe.weight_decay)
    schedule = recipe.schedule(optimizer)
    first, key, checkpoint = 0, "", None
    if keeping is not None:
        parts = [name, *recipe.about, *about, keeping.data_version, code_fingerprint(module)]
        key = hashlib.sha256(yaml.safe_dump(parts, sort_keys=True).encode()).hexdigest()[:16]
        checkpoint = keeping.runs / f"{name}-{key}" / "checkpoint.pt"
        if checkpoint.exists():
            state = load_checkpoint(checkpoint, key)
            for part, kept in ((network, "model"), (optimizer, "optimizer"), (schedule, "schedule")):
                part.load_state_dict(state[kept])
            first = state["step"]
    for step in tqdm(range(first, recipe.steps), desc=name, unit="step", initial=first, total=recipe.steps, leave=False):
        loss_at(step).backward()
        nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if checkpoint and ((step + 1) % SAVE_EVERY == 0 or step + 1 == recipe.steps):
            state = {"model": network.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
            save_checkpoint(checkpoint, {"key": key, "step": step + 1, **state})
    network.requires_grad_(False).eval()
