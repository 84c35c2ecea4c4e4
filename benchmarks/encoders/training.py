"""Training for so many seconds of processor time: ours and the others alike, on one thread, with averaged weights at the end."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.encoders.methods import build_method
from soda.common.seeds import seed_of
from soda.config import Config
from soda.data.dataset import PreparedData
from soda.data.pairs import find_partners
from soda.model.batch import ViewBatch
from soda.training.batches import Reader
from soda.training.ema import ema_copy, update_ema
from soda.training.muon import Muon, inner_convolutions
from soda.training.step import optimise, start_run
from soda.training.teacher import lessons_of

CPU = torch.device("cpu")
WARMUP = 0.03  # of the time
MUON_RATE, MUON_DECAY = 0.02, 0.01  # ours, too


@dataclass(frozen=True)
class Trial:
    """What is chosen on validation for each of the others: views "mild" or "strong", the rate of AdamW, and whether inner
    convolutions learn by Muon, as ours do."""

    views: str
    rate: float
    muon: bool

    def __str__(self) -> str:
        return f"{self.views} views, rate {self.rate:g}, {'Muon' if self.muon else 'AdamW alone'}"


TRIALS = tuple(Trial(views, 1e-3, muon) for views in ("mild", "strong") for muon in (False, True))
UNAUGMENTED = (Trial("mild", 1e-3, False), Trial("mild", 3e-3, False), Trial("mild", 1e-3, True), Trial("mild", 3e-3, True))


def _spent(reader: Reader, seconds: float) -> Iterator[tuple[int, float, ViewBatch]]:
    """(step, share of the time that is spent, batch) until all of it is."""
    started = time.process_time()
    for step, batch in enumerate(reader.stream(0, sys.maxsize)):
        done = (time.process_time() - started) / seconds
        if done >= 1:
            return
        yield step, done, batch


def train_ours(config: Config, data: PreparedData, seconds: float, runs: Path) -> tuple[nn.Module, int]:
    """(averaged encoder, images seen) of SODA by the settings of `config`. A teacher's vectors are made before."""
    lessons = lessons_of(config.train.teacher, data, runs)
    run = start_run(config, "encoders", CPU, 0 if lessons is None else lessons.shape[1])
    network, settings = run.learner.train(), config.train
    if not settings.encoder_learns:  # whatever the denoiser learns, the encoder is this one
        return run.ema.encoder.eval(), 0
    split = data.split("train")
    posed = config.model.cameras.rays
    reader = Reader(split, find_partners(data, split, config.views.pairs), settings, posed=posed, lessons=lessons)
    for step, done, batch in _spent(reader, seconds):
        images = round(step * settings.batch_size / done) if step and done else settings.images
        train = replace(settings, images=max(settings.batch_size, images), warmup_images=max(1, round(WARMUP * images)))
        optimise(run, network, replace(config, train=train), batch)
    return run.ema.encoder.eval(), run.step * settings.batch_size


def train_other(
    name: str, trial: Trial, config: Config, data: PreparedData, seconds: float, *, batch_size: int = 128
) -> tuple[nn.Module, int]:
    """The same of another method, on images alone."""
    seed = config.train.seed
    method = build_method(name, trial.views, config, seed_of("weights", name, seed)).train()
    optimizer = _optimizer(method, trial, config)
    average = ema_copy(method.encoder)
    generator = torch.Generator().manual_seed(seed_of("views", name, seed))
    steps = 0
    reader = Reader(data.split("train"), None, replace(config.train, batch_size=batch_size))
    for step, done, batch in _spent(reader, seconds):
        share = min(1.0, done / WARMUP) * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = share * group["peak"]
        loss: Tensor = method.loss(batch.target, generator)
        loss.backward()
        nn.utils.clip_grad_norm_(method.parameters(), config.train.grad_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        method.after_step(done)
        update_ema(average, method.encoder, config.train, step)
        steps = step + 1
    return average.eval(), steps * batch_size


def _optimizer(method: nn.Module, trial: Trial, config: Config) -> torch.optim.Optimizer:
    inner = inner_convolutions(method) if trial.muon else []
    inner = [weight for weight in inner if weight.requires_grad]
    taken = {id(weight) for weight in inner}
    rest = [p for p in method.parameters() if p.requires_grad and id(p) not in taken]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": config.train.weight_decay, "peak": trial.rate},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0, "peak": trial.rate},
    ]
    if inner:
        groups.append({"params": inner, "weight_decay": MUON_DECAY, "peak": MUON_RATE, "muon": True})
        return Muon(groups, lr=trial.rate, betas=(0.9, 0.95), fused=True)
    return torch.optim.AdamW(groups, lr=trial.rate, betas=(0.9, 0.95), fused=True)
