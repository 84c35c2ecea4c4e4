"""The training step: how much of what the machine can do it uses, and what share of it is not the network."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from soda.common.images import to_float
from soda.config import Config, compose, from_dict
from soda.data.augment import view_pair
from soda.model.batch import ViewBatch
from soda.training.step import optimise, start_run

Figures = dict[str, tuple[float, str]]


def median_seconds(work: Callable[[], object], seconds: float) -> float:
    """The median time of one call, after two to warm up, over at least five calls and about `seconds`."""
    work()
    work()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


Shape = tuple[int, int, int, int, int]  # in channels, out channels, stride, side in px, batch


def convolution_seconds(shape: Shape, seconds: float) -> float:
    """Median time of one 3x3 convolution, channels_last, forward and backward."""
    c_in, c_out, stride, side, batch = shape
    convolution = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False).to(memory_format=torch.channels_last)
    x = torch.randn(batch, c_in, side, side).to(memory_format=torch.channels_last).requires_grad_()
    gradient = torch.randn_like(convolution(x))
    return median_seconds(lambda: convolution(x).backward(gradient), seconds)


def convolution_flops(shape: Shape) -> int:
    """Forward and both gradients; a multiply-add counts two."""
    c_in, c_out, stride, side, batch = shape
    return 3 * 2 * 9 * c_in * c_out * (-(-side // stride)) ** 2 * batch


def convolutions_of(model: nn.Module, work: Callable[[], object]) -> Counter[Shape]:
    """How often each shape of 3x3 convolution occurs in one forward pass of `work`."""
    found: Counter[Shape] = Counter()

    def note(module: nn.Conv2d, inputs: tuple[torch.Tensor], _: torch.Tensor) -> None:
        batch, c_in, side, _width = inputs[0].shape
        found[c_in, module.out_channels, module.stride[0], side, batch] += 1

    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    work()
    for hook in hooks:
        hook.remove()
    return found


def own_convolutions(shapes: Counter[Shape], seconds: float) -> float:
    """GFLOP/s of a step's own 3x3 convolutions, one by one."""
    spent = sum(count * convolution_seconds(shape, seconds / len(shapes)) for shape, count in shapes.items())
    return sum(count * convolution_flops(shape) for shape, count in shapes.items()) / spent / 1e9


def measure(config: Config, *, seconds: float) -> Figures:
    """Measure the training step of `config` on random pictures of its size, on the CPU."""
    batch, size, channels = config.train.batch_size, config.dataset.image_size, config.dataset.channels
    pixels = np.random.default_rng(0).integers(0, 256, (4096, size, size, channels), dtype=np.uint8)
    images = to_float(pixels[:batch])
    views_of = ViewBatch.of(images)
    run = start_run(config, "bench", torch.device("cpu"))
    run.model.train()
    with FlopCounterMode(display=False) as counter:
        optimise(run, run.model, config, views_of)
    step_flops = counter.get_total_flops()
    step = median_seconds(lambda: optimise(run, run.model, config, views_of), seconds)
    wide = (64, 64, 1, 16, batch)
    convolution = convolution_flops(wide) / convolution_seconds(wide, seconds) / 1e9
    own = own_convolutions(convolutions_of(run.model, lambda: optimise(run, run.model, config, views_of)), seconds)

    generator = torch.Generator().manual_seed(0)
    views = {name: from_dict(compose([f"views={name}"])).views for name in ("plain", "paper")}
    view_seconds = {
        name: median_seconds(lambda v=v: view_pair(images, images, v, generator), seconds) for name, v in views.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "shard.npy"
        np.save(file, pixels)
        shard = np.load(file, mmap_mode="r")
        order = np.random.default_rng(0).permutation(len(pixels))[:batch]
        loading = median_seconds(lambda: to_float(shard[order]), seconds)
    gflops = step_flops / step / 1e9
    return {
        "training step: images a second": (batch / step, "images/s"),
        "training step: work (forward and backward) an image": (step_flops / batch / 1e6, "MFLOP"),
        "training step: throughput": (gflops, "GFLOP/s"),
        "3x3 convolution, 64 channels at 16 px: throughput": (convolution, "GFLOP/s"),
        "training step over that convolution": (100 * gflops / convolution, "%"),
        "the step's own 3x3 convolutions, one by one: throughput": (own, "GFLOP/s"),
        "training step over its own convolutions": (100 * gflops / own, "%"),
        "loading a batch, share of a step": (100 * loading / step, "%"),
        "views=plain, share of a step": (100 * view_seconds["plain"] / step, "%"),
        "views=paper, share of a step": (100 * view_seconds["paper"] / step, "%"),
    }
