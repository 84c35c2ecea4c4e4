"""A run whose images stay on one device, where batches are gathered, views and noise drawn and weights changed. On a GPU all of a
step is one CUDA graph.

The mathematics are `step.optimise`'s. Which images and times a step sees are functions of (seed, step), as there. Views, noise
and masks come from the device's own generator, set anew at every block: they are reproducible on one kind of device alone.
Nothing in a step waits for the host, so that several runs, each on a stream of its own, share one GPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from soda.common.errors import InputError
from soda.common.seeds import seed_of
from soda.config import Config
from soda.data.augment import draw_shown
from soda.data.dataset import Split
from soda.model.batch import LossDraws, ViewBatch
from soda.model.conditions import mask_cameras
from soda.model.modulation import draw_keep
from soda.training.batches import Reader, augmented
from soda.training.ema import ema_decay
from soda.training.optim import learning_rate
from soda.training.step import Run, draw_training_times

BLOCK = 64
"""Steps whose images, times and rates are drawn and copied at once."""
WARM_UP = 3  # steps before a graph is made of one: libraries choose their algorithms, optimizers make their state


@dataclass(frozen=True)
class Resident:
    """A split on a device: pixels (n, S, S, C) uint8; cameras (n, 16) and lessons (n, T) float32 where there are any."""

    pixels: Tensor
    cameras: Tensor | None = None
    lessons: Tensor | None = None

    @classmethod
    def of(cls, split: Split, device: torch.device, *, posed: bool = False, lessons: np.ndarray | None = None) -> Resident:
        """Raises DatasetError where cameras are asked for and there are none."""
        cameras = torch.from_numpy(split.cameras).to(device) if posed else None
        taught = None if lessons is None else torch.from_numpy(lessons.astype(np.float32)).to(device)
        return cls(torch.from_numpy(split.gather(np.arange(len(split)))).to(device), cameras, taught)

    def views(self, index: Tensor, style_sections: int = 0) -> ViewBatch:
        """The batch of (B, V + 1) positions, those of V sources and of the target, or (B, 3) with the style's behind; with
        V = 0 each target is its own source."""
        styled = style_sections > 0
        sources, target = index[:, : -2 if styled else -1], index[:, -2 if styled else -1]
        batch = ViewBatch.of(self._images(target))
        if sources.shape[1]:
            views = self._images(sources.flatten()).unflatten(0, sources.shape)
            batch = ViewBatch(views, batch.target, self._images(index[:, -1]) if styled else None, style_sections)
        if self.cameras is not None:
            seen = sources if sources.shape[1] else target[:, None]
            batch = replace(batch, source_cameras=self.cameras[seen], target_cameras=self.cameras[target])
        if self.lessons is not None:
            batch = replace(batch, lesson=self.lessons[sources[:, 0] if sources.shape[1] else target])
        return batch

    def _images(self, positions: Tensor) -> Tensor:
        return self.pixels[positions].permute(0, 3, 1, 2).float() / 127.5 - 1  # channels_last


class ResidentRun:
    """A run and its steps. `advance` does some of them; on a GPU they are only asked for, and the host goes on."""

    def __init__(self, run: Run, config: Config, reader: Reader, images: Resident) -> None:
        """Raises InputError for settings that a step on one device does not have: dropout draws where no block sets it anew."""
        if config.model.dropout:
            raise InputError("model.dropout is above 0: a run whose steps stay on the device has none")
        self.run, self.config, self.reader, self.images = run, config, reader, images
        self.device = device = images.pixels.device
        self.cuda = device.type == "cuda"
        self.stream = torch.cuda.Stream(device) if self.cuda else None
        self.generator = torch.Generator(device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.block = tuple(each.to(device) for each in self._plan(run.step))
        self.at = torch.zeros(1, dtype=torch.int64, device=device)  # step of the block
        self._planned = False
        self.losses = torch.zeros(BLOCK, device=device)
        for group in run.optimizer.param_groups:
            group["lr"], group["capturable"] = torch.zeros((), device=device), self.cuda
        pairs = list(zip(run.ema.buffers(), run.model.buffers(), strict=True))
        kinds = {mine.dtype for mine, _ in pairs if mine.dtype != torch.float64}  # those are the schedule's table
        self._buffers: list[tuple[Any, ...]] = [
            tuple(zip(*[p for p in pairs if p[0].dtype == kind], strict=True)) for kind in kinds
        ]
        run.learner.train()

    def advance(self, steps: int) -> None:
        """So many steps more."""
        with self.on_stream():
            for _ in range(steps):
                if self.run.step % BLOCK == 0 or not self._planned:
                    self._begin_block()
                if self.graph is None:
                    self._body()
                else:
                    self.graph.replay()
                self.run.step += 1

    def capture(self) -> None:
        """Make a graph of the step, on a GPU. The run must be at its first step, and begins anew."""
        assert self.stream is not None
        first = {name: value.clone() for name, value in self.run.learner.state_dict().items()}
        self.advance(WARM_UP)
        torch.cuda.synchronize(self.device)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            self._body()
        self.graph = graph
        with self.on_stream():
            self.run.learner.load_state_dict(first)
            self._forget()

    def restart(self, run: Run, reader: Reader, config: Config) -> None:
        """Begin anew as `run`, of the same shapes and settings but for the seed, in the memory of this one."""
        self.reader, self.config = reader, config
        with self.on_stream():
            self.run.learner.load_state_dict(run.learner.state_dict())
            self._forget()

    def read_losses(self) -> Tensor:
        """Those of the block that has just ended, on the host: (BLOCK,). Waits."""
        with self.on_stream():
            return self.losses.cpu()

    # --- a block

    def _plan(self, step: int) -> tuple[Tensor, ...]:
        """Positions, times, shares of the rate and of the average of the block that begins with `step`."""
        settings, size, steps = self.config.train, self.config.train.batch_size, range(step, step + BLOCK)
        times = torch.Generator().manual_seed(seed_of("times", settings.seed, 0, step))
        t = draw_training_times(BLOCK * size, self.config.diffusion, times).view(BLOCK, size)
        rates = torch.tensor([learning_rate(settings, each * size) for each in steps])
        shares = torch.tensor([1 - ema_decay(settings, each) for each in steps])
        return torch.from_numpy(np.stack([self._positions(each) for each in steps])), t, rates, shares

    def _positions(self, step: int) -> np.ndarray:
        pairs = self.reader.pairs(step)
        if self.reader.partners is None:
            return pairs.targets[:, None]
        style = [] if pairs.styles is None else [pairs.styles[:, None]]
        return np.concatenate((pairs.sources, pairs.targets[:, None], *style), axis=1)

    def _begin_block(self) -> None:
        start = self.run.step - self.run.step % BLOCK
        for mine, given in zip(self.block, self._plan(start), strict=True):
            mine.copy_(given.pin_memory() if self.cuda else given, non_blocking=True)
        self.at.fill_(self.run.step - start)
        self._planned = True
        self.generator.manual_seed(seed_of("step", self.config.train.seed, 0, self.run.step))

    # --- a step

    def _body(self) -> None:
        index, t, rate, share = (each.index_select(0, self.at)[0] for each in self.block)
        run = self.run
        for group in run.optimizer.param_groups:
            group["lr"].copy_(rate * group["lr_factor"])
        loss = self._loss(index, t)
        loss.backward()
        nn.utils.clip_grad_norm_(run.learner.parameters(), self.config.train.grad_clip)
        run.optimizer.step()
        run.optimizer.zero_grad(set_to_none=True)
        self._average(share)
        self.losses.index_copy_(0, self.at, loss.detach()[None])
        self.at += 1

    def _loss(self, index: Tensor, t: Tensor) -> Tensor:
        config, generator, device = self.config, self.generator, self.device
        with torch.device(device):
            batch = augmented(self.images.views(index, config.views.pairs.style_sections), config.views, generator)
            sources = batch.sources.shape[1]
            shown = draw_shown(len(batch), sources, generator) if sources > 1 else None
            noise = torch.randn(batch.target.shape, generator=generator).contiguous(memory_format=torch.channels_last)
            draws = LossDraws(t, noise, draw_keep(len(batch), config.model, generator, device), shown)
            batch = mask_cameras(batch, config.model.cameras, generator)
        bf16 = config.train.precision == "bf16"
        with torch.autocast(device.type, torch.bfloat16, cache_enabled=False) if bf16 else contextlib.nullcontext():
            loss: Tensor = self.run.learner(batch, draws)
        return loss

    @torch.no_grad()
    def _average(self, share: Tensor) -> None:
        """`update_ema`, its share on the device."""
        mine: list[Tensor] = [*self.run.ema.parameters()]
        theirs: list[Tensor] = [*self.run.model.parameters()]
        difference = torch._foreach_sub(theirs, mine)
        torch._foreach_mul_(difference, share)
        torch._foreach_add_(mine, difference)
        for averages, values in self._buffers:
            torch._foreach_copy_(averages, values)

    @torch.no_grad()
    def _forget(self) -> None:
        """The average is the weights, the optimizer has seen nothing, no step was done."""
        self.run.ema.load_state_dict(self.run.model.state_dict())
        for state in self.run.optimizer.state.values():
            for value in state.values():
                value.zero_()
        self.run.step, self._planned = 0, False

    def on_stream(self) -> contextlib.AbstractContextManager[object]:
        """Within it work waits for the run's steps, and its steps for that work."""
        return contextlib.nullcontext() if self.stream is None else torch.cuda.stream(self.stream)


def interleaved(works: Sequence[Callable[[], Iterator[None]]], at_once: int) -> Iterator[None]:
    """Go through several generators in turn, `at_once` of them at a time, each until it ends; then the next takes its place."""
    waiting, going = list(works), list[Iterator[None]]()
    while waiting or going:
        while waiting and len(going) < at_once:
            going.append(waiting.pop(0)())
        for each in list(going):
            try:
                next(each)
            except StopIteration:
                going.remove(each)
            yield
