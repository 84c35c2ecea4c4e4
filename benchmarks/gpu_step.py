"""The training step as it could be on a GPU: images, draws and averages stay on the device, one CUDA graph a step.

An experiment beside `soda.training.step`, of the same mathematics and other random numbers, to tell what each change is worth.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from soda.common.images import to_float
from soda.common.seeds import seed_of
from soda.config import Config
from soda.data.augment import augment, draw_shown, recolour, view_pair
from soda.data.dataset import PreparedData, Split
from soda.data.pairs import find_partners
from soda.diffusion.schedule import draw_times
from soda.geometry.cameras import NUMBERS
from soda.model.modulation import draw_keep
from soda.training.batches import Order, chosen
from soda.training.ema import update_ema
from soda.training.optim import learning_rate
from soda.training.step import optimise, start_run

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


@dataclass(frozen=True)
class Pool:
    """Images to train on. pixels: (N, S, S, C) uint8; draw: step -> positions (V, B); cameras: (N, 16) or None."""

    pixels: np.ndarray
    draw: Callable[[int], np.ndarray]
    cameras: np.ndarray | None = None


def pool_of(data: PreparedData, config: Config) -> Pool:
    """The train split in the order of the loop."""
    split = data.split("train")
    partners = find_partners(data, split, config.views.pairs)
    size, order = config.train.batch_size, Order(len(split) if partners is None else len(partners), config.train.seed)

    def draw(step: int) -> np.ndarray:
        positions = chosen(order, step, size, slice(0, size), partners)
        return np.stack(positions[:1] if partners is None else positions)

    return Pool(all_pixels(split), draw, split.cameras if config.model.cameras.rays else None)


def all_pixels(split: Split) -> np.ndarray:
    """(N, S, S, C) uint8."""
    return split.gather(np.arange(len(split)))


def random_pool(config: Config, count: int = 2048) -> Pool:
    """Noise of the right shape, to measure speed."""
    size, generator, batch = config.dataset.image_size, np.random.default_rng(0), config.train.batch_size
    pixels = generator.integers(0, 256, (count, size, size, config.dataset.channels), dtype=np.uint8)
    views = 1 if config.views.pairs.by == "picture" else 1 + config.views.pairs.sources
    order, cameras = Order(count, 0), np.ones((count, NUMBERS), np.float32) if config.model.cameras.rays else None
    return Pool(pixels, lambda step: order.indices(step * batch * views, batch * views).reshape(views, batch), cameras)


@contextlib.contextmanager
def bf16_group_norm(wanted: bool) -> Iterator[None]:
    """GroupNorm in the type of its input: autocast would have it in float32, twice the bytes through memory."""
    plain = F.group_norm

    def same_type(x: Tensor, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return plain(x, groups, *(None if p is None else p.to(x.dtype) for p in (weight, bias)), eps)

    F.group_norm = same_type if wanted else plain
    try:
        yield
    finally:
        F.group_norm = plain


class Trainer:
    """A run and how its steps are done. `step()` does the next one."""

    def __init__(self, config: Config, pool: Pool, device: torch.device, fixes: Fixes, *, precision: str | None = None) -> None:
        precision = precision or config.train.precision
        torch.backends.cudnn.benchmark = fixes.tuned
        self.config = replace(config, train=replace(config.train, precision=precision))
        self.pool, self.device, self.fixes = pool, device, fixes
        self.run = start_run(self.config, "gpu", device)
        self.run.model.train()
        self.network: nn.Module = torch.compile(self.run.model) if fixes.compile else self.run.model  # type: ignore[assignment]
        self.generator = torch.default_generator
        if device.type == "cuda":
            self.generator = torch.cuda.default_generators[torch.cuda.current_device()]
        self.generator.manual_seed(seed_of("gpu", config.train.seed))
        self.total, self.weight = torch.zeros((), device=device), torch.ones((), device=device)
        self.graph: Any = None
        self._counted = 0  # steps whose losses were read
        if fixes.resident:
            self.pixels = torch.from_numpy(pool.pixels).to(device)
            self.cameras = None if pool.cameras is None else torch.from_numpy(pool.cameras).to(device)
            self._reader, self._first, self._blocks = ThreadPoolExecutor(1), -1, []
        if fixes.draws:
            for group in self.run.optimizer.param_groups:
                group["lr"] = torch.zeros((), device=device) if device.type == "cuda" else 0.0
                group["capturable"] = device.type == "cuda"
            pairs = list(zip(self.run.ema.buffers(), self.run.model.buffers(), strict=True))
            kinds = {mine.dtype for mine, _ in pairs if mine.dtype != torch.float64}  # those are the schedule's table
            self.buffers = [tuple(zip(*[p for p in pairs if p[0].dtype == kind], strict=True)) for kind in kinds]

    # --- what the next step sees

    def _block(self, start: int) -> Tensor:
        """Positions of steps start .. start + BLOCK: (BLOCK, V, B), pinned where there is a GPU."""
        block = torch.from_numpy(np.stack([self.pool.draw(step) for step in range(start, start + BLOCK)]))
        return block.pin_memory() if self.device.type == "cuda" else block

    def positions(self) -> Tensor:
        """(V, B) on the device."""
        start = self.run.step - self.run.step % BLOCK
        if start != self._first:
            expected = self._first + BLOCK == start and self._first >= 0
            pinned = self._pending.result() if expected else self._block(start)
            self._pending = self._reader.submit(self._block, start + BLOCK)
            self._blocks = [*self._blocks[-1:], pinned]  # kept until the copy is over
            self._on_device, self._first = pinned.to(self.device, non_blocking=True), start
        return self._on_device[self.run.step - start]

    def _gathered(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        chosen_pixels = self.pixels[index].permute(1, 0, 4, 2, 3).flatten(1, 2)  # (B, V C, S, S)
        images = (chosen_pixels.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        return images, None if self.cameras is None else self.cameras[index].transpose(0, 1).contiguous()

    # --- a step

    def step(self) -> None:
        """The next step."""
        with bf16_group_norm(self.fixes.bf16_norm):
            if self.fixes.draws:
                self._set_rates()
                index = self.positions()
                if self.graph is None:
                    self._body(index)
                else:
                    self.index.copy_(index)
                    self.graph.replay()
                self.run.step += 1
                return
            if self.fixes.resident:
                images, cameras = self._gathered(self.positions())
            else:
                index = self.pool.draw(self.run.step)
                images = to_float(np.concatenate([self.pool.pixels[each] for each in index], axis=-1))
                images = images.to(self.device, non_blocking=True)
                cameras = None
                if self.pool.cameras is not None:
                    cameras = torch.from_numpy(self.pool.cameras[index].swapaxes(0, 1).copy()).to(self.device)
            self.total += optimise(self.run, self.network, self.config, images, 0, cameras)

    def _set_rates(self) -> None:
        settings, step = self.config.train, self.run.step
        rate, decay = learning_rate(settings, step * settings.batch_size), min(settings.ema_decay, (1 + step) / (10 + step))
        for group in self.run.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate * group["lr_factor"])
            else:
                group["lr"] = rate * group["lr_factor"]
        self.weight.fill_(1 - decay)

    def _body(self, index: Tensor) -> None:
        run = self.run
        images, cameras = self._gathered(index)
        loss = self._loss(images, cameras)
        loss.backward()
        nn.utils.clip_grad_norm_(run.model.parameters(), self.config.train.grad_clip)
        run.optimizer.step()
        run.optimizer.zero_grad(set_to_none=True)
        if self.fixes.buffers:
            self._average()
        else:
            update_ema(run.ema, run.model, self.config.train.ema_decay, run.step)
        self.total += loss.detach()

    @torch.no_grad()
    def _average(self) -> None:
        mine, theirs = list(self.run.ema.parameters()), list(self.run.model.parameters())
        difference = torch._foreach_sub(theirs, mine)
        torch._foreach_mul_(difference, self.weight)
        torch._foreach_add_(mine, difference)
        for averages, values in self.buffers:
            torch._foreach_copy_(averages, values)

    def _loss(self, images: Tensor, cameras: Tensor | None) -> Tensor:
        """As `step_loss`, all drawn on the device. Equal views are not drawn again: to ask whether there are any is to wait."""
        config, generator, device = self.config, self.generator, self.device
        C, pairs, views = config.dataset.channels, config.views.pairs, config.views
        given: dict[str, Any] = {}
        with torch.device(device):
            if views.recolour:
                images = recolour(images, C, views.recolour, generator)
            beside = [augment(images[:, k : k + C], views.source, generator) for k in range(2 * C, images.shape[1], C)]
            if pairs.by != "picture" or views.reconstructs:
                source, target = view_pair(images[:, : 2 * C], views, generator)
            else:
                source, target = augment(images, views.source, generator), augment(images, views.target, generator)
            if beside:
                source = torch.stack((source, *beside), dim=1)
                given = {"shown": draw_shown(len(images), pairs.sources, generator)}
            t = draw_times(len(images), config.diffusion.num_timesteps, config.diffusion.time_power, generator)
            noise = torch.randn(target.shape, generator=generator).contiguous(memory_format=torch.channels_last)
            model = config.model
            keep = draw_keep(len(images), model.sections, model.section_drop, model.latent_drop, generator, device)
            if cameras is not None:
                chance = torch.rand(len(cameras), 2, generator=generator)
                sources = torch.cat((cameras[:, :1], cameras[:, 2:]), 1) if beside else cameras[:, 0]
                shown = (chance[:, 0] >= model.cameras.source_drop).float().view(-1, *[1] * (sources.ndim - 1))
                given["source_cameras"] = sources * shown
                given["target_cameras"] = cameras[:, 1] * (chance[:, 1] >= model.cameras.target_drop).float()[:, None]
        bf16 = config.train.precision == "bf16"
        with torch.autocast(device.type, torch.bfloat16, cache_enabled=False) if bf16 else contextlib.nullcontext():
            loss: Tensor = self.network(source, target, t, noise, keep=keep, **given)
        return loss

    # --- CUDA graphs

    def capture(self) -> None:
        """Make a graph of the step. What warming up did to the weights is undone."""
        before = [{name: value.clone() for name, value in each.state_dict().items()} for each in (self.run.model, self.run.ema)]
        self._set_rates()
        self.index = self.positions().clone()
        self._pending.result()  # nothing is to allocate pinned memory while the graph is recorded
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with bf16_group_norm(self.fixes.bf16_norm):
            with torch.cuda.stream(stream):
                for _ in range(3):
                    self._body(self.index)
            torch.cuda.current_stream().wait_stream(stream)
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._body(self.index)
        self.graph = graph
        self._begin(*before)

    def reset(self, config: Config) -> None:
        """Begin anew with the weights of `config`, which may differ in the settings of training alone."""
        self.config = replace(config, train=replace(config.train, precision=self.config.train.precision))
        weights = start_run(self.config, "gpu", torch.device("cpu")).model.state_dict()
        self._begin(weights, weights)

    @torch.no_grad()
    def _begin(self, model: dict[str, Tensor], ema: dict[str, Tensor]) -> None:
        self.run.model.load_state_dict(model)
        self.run.ema.load_state_dict(ema)
        for state in self.run.optimizer.state.values():
            for value in state.values():
                value.zero_()
        self.run.step = self._counted = 0
        self._first = -1
        self.total.zero_()

    def mean_loss(self) -> float:
        """Of the steps since the last call."""
        steps = max(1, self.run.step - self._counted)
        self._counted = self.run.step
        value = float(self.total) / steps
        self.total.zero_()
        return value
