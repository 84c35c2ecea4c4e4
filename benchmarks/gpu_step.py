"""The training step as it could be on a GPU: images, draws and averages stay on the device, one CUDA graph a step.

An experiment beside `soda.training.step`, of the same mathematics and other random numbers, to tell what each change is worth.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.gpu_world import graph_of
from soda.common.seeds import seed_of
from soda.config import Config
from soda.data import augment
from soda.data.dataset import PreparedData
from soda.data.pairs import find_partners
from soda.model.batch import ViewBatch
from soda.training.batches import Reader, augmented
from soda.training.ema import update_ema
from soda.training.optim import learning_rate, set_learning_rate
from soda.training.step import draw_loss, optimise, start_run

BLOCK = 64  # steps whose positions are drawn and copied at once


@dataclass(frozen=True)
class Fixes:
    """What is done otherwise than in the loop. draws and all after it go together with `resident`."""

    resident: bool = False  # the images lie on the device, batches are gathered there
    draws: bool = False  # views, times, noise and masks are drawn on the device
    buffers: bool = False  # BatchNorm's statistics enter the average in one foreach
    bf16_norm: bool = False  # GroupNorm reads and writes bf16 under autocast, not float32
    graph: bool = False  # a whole step is one CUDA graph
    tuned: bool = False  # cuDNN tries its algorithms and keeps the fastest
    compile: bool = False


def reader_of(config: Config, data: PreparedData) -> Reader:
    """The batches that the loop would see."""
    split, settings, posed = data.split("train"), config.train, config.model.cameras.rays
    partners = find_partners(data, split, config.views.pairs)
    return Reader(split, partners, settings, posed=posed)


@contextlib.contextmanager
def _changed(bf16_norm: bool) -> Iterator[None]:
    """Equal views are not drawn again: to ask whether there are any is to wait. bf16_norm: GroupNorm works in the type of its
    input, where autocast would have it in float32, twice the bytes through memory.
    """
    plain, redraws = F.group_norm, augment.REDRAWS

    def same_type(x: Tensor, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return plain(x, groups, *(None if p is None else p.to(x.dtype) for p in (weight, bias)), eps)

    F.group_norm, augment.REDRAWS = same_type if bf16_norm else plain, 0
    try:
        yield
    finally:
        F.group_norm, augment.REDRAWS = plain, redraws


class Trainer:
    """A run and how its steps are done. `step()` does the next one."""

    def __init__(self, config: Config, reader: Reader, device: torch.device, fixes: Fixes) -> None:
        torch.backends.cudnn.benchmark = fixes.tuned
        self.config, self.reader, self.device, self.fixes = config, reader, device, fixes
        self.run = start_run(config, "gpu", device)
        self.run.model.train()
        self.network: nn.Module = torch.compile(self.run.model) if fixes.compile else self.run.model  # type: ignore[assignment]
        self.generator = torch.default_generator
        if device.type == "cuda":
            self.generator = torch.cuda.default_generators[torch.cuda.current_device()]
        self.generator.manual_seed(seed_of("gpu", config.train.seed))
        self.total, self.weight = torch.zeros((), device=device), torch.ones((), device=device)
        drops = config.model.cameras
        self.drop = torch.tensor([drops.source_drop, drops.target_drop], device=device)
        self.graph: Any = None
        self._counted, self._first = 0, -1  # steps whose losses were read; first step of the block of positions
        if fixes.resident:
            self.pixels = torch.from_numpy(reader.split.gather(np.arange(len(reader.split)))).to(device)
            self.cameras = torch.from_numpy(reader.split.cameras).to(device) if reader.posed else None
        if fixes.draws:
            for group in self.run.optimizer.param_groups:
                group["lr"] = torch.zeros((), device=device) if device.type == "cuda" else 0.0
                group["capturable"] = device.type == "cuda"
            pairs = list(zip(self.run.ema.buffers(), self.run.model.buffers(), strict=True))
            kinds = {mine.dtype for mine, _ in pairs if mine.dtype != torch.float64}  # those are the schedule's table
            self.buffers = [tuple(zip(*[p for p in pairs if p[0].dtype == kind], strict=True)) for kind in kinds]

    # --- what the next step sees

    def _draw_positions(self, step: int) -> np.ndarray:
        """(B, V + 1): of the sources, and of the target."""
        pairs = self.reader.pairs(step)
        return np.concatenate((pairs.sources, pairs.targets[:, None]), axis=1)

    def positions(self) -> Tensor:
        """Those of the next step, on the device."""
        start = self.run.step - self.run.step % BLOCK
        if start != self._first:
            block = torch.from_numpy(np.stack([self._draw_positions(step) for step in range(start, start + BLOCK)]))
            block = block.pin_memory() if self.device.type == "cuda" else block
            self._on_device, self._first = block.to(self.device, non_blocking=True), start
        return self._on_device[self.run.step - start]

    def _gathered(self, index: Tensor) -> ViewBatch:
        def images(positions: Tensor) -> Tensor:
            chosen = self.pixels[positions].permute(0, 3, 1, 2)
            return (chosen.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)

        target = images(index[:, -1])
        if self.reader.partners is None:
            return ViewBatch.of(target)
        batch = ViewBatch(images(index[:, :-1].flatten()).unflatten(0, (len(index), -1)), target)
        if self.cameras is None:
            return batch
        return replace(batch, source_cameras=self.cameras[index[:, :-1]], target_cameras=self.cameras[index[:, -1]])

    # --- a step

    def step(self) -> None:
        """The next step."""
        if not self.fixes.draws:
            batch = self._gathered(self.positions()) if self.fixes.resident else self.reader.at(self.run.step).to(self.device)
            self.total += optimise(self.run, self.network, self.config, batch)
            return
        self._set_rates()
        index = self.positions()
        if self.graph is None:
            self._body(index)
        else:
            self.index.copy_(index)
            self.graph.replay()
        self.run.step += 1

    def _set_rates(self) -> None:
        settings, step = self.config.train, self.run.step
        rate = learning_rate(settings, step * settings.batch_size)
        if self.device.type == "cuda":
            for group in self.run.optimizer.param_groups:
                group["lr"].fill_(rate * group["lr_factor"])
        else:
            set_learning_rate(self.run.optimizer, rate)
        self.weight.fill_(1 - min(settings.ema_decay, (1 + step) / (10 + step)))

    def _body(self, index: Tensor) -> None:
        run = self.run
        with _changed(self.fixes.bf16_norm):
            loss = self._loss(self._gathered(index))
            loss.backward()
        nn.utils.clip_grad_norm_(run.model.parameters(), self.config.train.grad_clip)
        run.optimizer.step()
        run.optimizer.zero_grad(set_to_none=True)
        if self.fixes.buffers:
            self.average()
        else:
            update_ema(run.ema, run.model, self.config.train, run.step)
        self.total += loss.detach()

    @torch.no_grad()
    def average(self) -> None:
        """`update_ema` with its weight on the device and the buffers in one foreach."""
        mine, theirs = list(self.run.ema.parameters()), list(self.run.model.parameters())
        difference = torch._foreach_sub(theirs, mine)
        torch._foreach_mul_(difference, self.weight)
        torch._foreach_add_(mine, difference)
        for averages, values in self.buffers:
            torch._foreach_copy_(averages, values)

    def _loss(self, batch: ViewBatch) -> Tensor:
        """As `step_loss`, all drawn on the device."""
        config, generator = self.config, self.generator
        with torch.device(self.device):
            batch = augmented(batch, config.views, generator)
            draws = draw_loss(batch, config, generator)
            if batch.source_cameras is not None and batch.target_cameras is not None:
                keep = (torch.rand(len(batch), 2, generator=generator) >= self.drop).float()
                sources, target = batch.source_cameras * keep[:, :1, None], batch.target_cameras * keep[:, 1:]
                batch = replace(batch, source_cameras=sources, target_cameras=target)
        bf16 = config.train.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False) if bf16 else contextlib.nullcontext():
            loss: Tensor = self.network(batch, draws)
        return loss

    # --- CUDA graphs

    def capture(self) -> None:
        """Make a graph of the step, and begin anew."""
        self._set_rates()
        self.index = self.positions().clone()
        self.graph = graph_of(lambda: self._body(self.index))
        self.reset(self.config)

    @torch.no_grad()
    def reset(self, config: Config) -> None:
        """Begin anew with the weights of `config`, which may differ in the settings of training alone."""
        self.config = config
        weights = start_run(config, "gpu", torch.device("cpu")).model.state_dict()
        for network in (self.run.model, self.run.ema):
            network.load_state_dict(weights)
        for state in self.run.optimizer.state.values():
            for value in state.values():
                value.zero_()
        self.run.step, self._counted, self._first = 0, 0, -1
        self.total.zero_()

    def mean_loss(self) -> float:
        """Of the steps since the last call."""
        steps = max(1, self.run.step - self._counted)
        self._counted = self.run.step
        value = float(self.total) / steps
        self.total.zero_()
        return value
