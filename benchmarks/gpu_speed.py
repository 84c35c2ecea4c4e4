"""How fast training is on a GPU: the card's own ceilings, the loop as it is, and what each change to its step is worth."""

from __future__ import annotations

import gc
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_step import Fixes, Trainer, reader_of
from benchmarks.gpu_world import World, graph_of, median_ms, tf32_allowed
from benchmarks.training import convolution_flops
from soda.config import Config
from soda.data.dataset import PreparedData
from soda.training.distributed import Processes
from soda.training.loop import fit
from soda.training.step import start_run

ON_DEVICE = Fixes(resident=True, draws=True, buffers=True)
COMPILED = "compile + CUDA graph"
WAYS: dict[str, Fixes] = {
    "loop's step": Fixes(),
    "+ images on the device": Fixes(resident=True),
    "+ draws on the device": Fixes(resident=True, draws=True),
    "+ buffers of the EMA in one foreach": ON_DEVICE,
    "+ CUDA graph": replace(ON_DEVICE, graph=True),
    "+ cuDNN tuned": replace(ON_DEVICE, graph=True, tuned=True),
    "+ GroupNorm in bf16": replace(ON_DEVICE, graph=True, tuned=True, bf16_norm=True),
    "compile, no graph": replace(ON_DEVICE, tuned=True, compile=True),
    COMPILED: replace(ON_DEVICE, tuned=True, compile=True, graph=True),
}
_FEW = ("loop's step", "+ CUDA graph", "+ GroupNorm in bf16")
_PAPER = ("loop's step", "+ buffers of the EMA in one foreach", "+ CUDA graph")
PLAN: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "cifar": ("cifar", 1, tuple(WAYS)),
    "tiny": ("tiny", 1, tuple(WAYS)),
    "imagenet": ("imagenet", 1, _FEW),
    "cifar, views=paper": ("paper views", 1, _PAPER),
    "cifar, batch 512": ("cifar", 4, _FEW),
}
"""What is measured in bf16: named settings, how many times as large a batch, ways of doing a step."""
SHAPES = ((128, 128, 1, 32), (256, 256, 1, 16), (256, 256, 1, 8), (64, 64, 1, 32), (32, 32, 1, 16))


def machine(world: World) -> dict[str, Any]:
    """What it ran on."""
    found: dict[str, Any] = {"torch": torch.__version__, "numpy": np.__version__, "threads": torch.get_num_threads()}
    if world.cuda:
        card = torch.cuda.get_device_properties(world.device)
        found |= {"card": card.name, "multiprocessors": card.multi_processor_count, "memory_gib": card.total_memory / 2**30}
        found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    return found


# --- ceilings


def roofline(world: World) -> dict[str, Any]:
    """TFLOP/s of 3x3 convolutions forward and backward and of a matrix product; TB/s of a copy."""
    device, batch, found = world.device, 2 if world.smoke else 128, dict[str, Any]()
    shapes = SHAPES[-1:] if world.smoke else SHAPES
    rows = [("bf16", torch.bfloat16, shapes), ("fp32", torch.float32, shapes), ("tf32", torch.float32, shapes[:1])]
    for name, dtype, measured in rows:
        with tf32_allowed(name == "tf32"):
            for shape in measured:
                key = f"3x3 {shape[0]} at {shape[3]} px, batch {batch}, {name}"
                found[key] = _convolution(world, shape, batch, dtype)
    world.kept["ceiling"] = next(iter(found.values()))
    side = 128 if world.smoke else 8192
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    found[f"matrix product of {side}, bf16"] = 2 * side**3 / median_ms(world, lambda: a @ b, 0.5)["ms"] / 1e9
    source = torch.empty(1 << (16 if world.smoke else 30), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = 2 * len(source) / median_ms(world, lambda: target.copy_(source), 0.3)["ms"] / 1e9
    return {"tflops": found, "copy_tb_s": copy}


def _convolution(world: World, shape: tuple[int, int, int, int], batch: int, dtype: torch.dtype) -> float:
    """TFLOP/s of many in a row; in a CUDA graph, or small ones would tell of the host alone."""
    c_in, c_out, stride, side = shape
    made = {"device": world.device, "dtype": dtype}
    layer = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False).to(memory_format=torch.channels_last, **made)
    x = torch.randn(batch, c_in, side, side, **made).to(memory_format=torch.channels_last).requires_grad_()
    gradient, count = torch.randn_like(layer(x)), 20 if world.cuda else 1

    def work() -> None:
        for _ in range(count):
            torch.autograd.grad(layer(x), (x, layer.weight), gradient)

    call = graph_of(work).replay if world.cuda else work
    return count * convolution_flops((*shape, batch)) / median_ms(world, call, 0.3)["ms"] / 1e9


# --- images a second


def throughput(world: World) -> dict[str, Any]:
    """The presets, each way of doing a step; what fails is noted and the next one tried."""
    found: dict[str, Any] = {}
    world.results["throughput"] = found  # so that what is measured stays when time runs out
    for place, (name, larger, ways) in PLAN.items():
        data = PreparedData(world.work / ("objects" if name == "imagenet" else "fashion"))
        config = world.config(name, precision="bf16", batch_size=larger * world.config(name).train.batch_size)
        rows = found[place] = {"gflop_per_image": _gflop(config, data), "batch": config.train.batch_size}
        measure = partial(_measure, world, rows)
        if ways == tuple(WAYS):
            plain, loop = world.config(name, precision="fp32"), partial(_rate, world, rows, data=data, fixes=Fixes())
            with tf32_allowed(False):
                measure("fp32, TF32 off: loop's step", partial(loop, plain))
            measure("fp32, torch's defaults: loop's step", partial(loop, plain))
            whole = world.config(name, precision="bf16" if name == "cifar" else "fp32", compile=False)
            measure(f"the whole loop (fit), {whole.train.precision}", partial(_whole_loop, world, whole, data))
        for way in ways:
            if world.cuda or not (WAYS[way].graph or WAYS[way].compile):
                measure(f"bf16: {way}", partial(_rate, world, rows, config, data=data, fixes=WAYS[way], keep_as=name))
    if world.cuda:
        whole = partial(_whole_loop, world, world.config("cifar", precision="bf16", compile=True), data)
        _measure(world, found["cifar"], "the whole loop (fit), bf16, compile", whole)
    return found


def _gflop(config: Config, data: PreparedData) -> float:
    """Forward and backward of an image, counted on the CPU (on a GPU attention is counted twice); a multiply-add is two."""
    few = replace(config, train=replace(config.train, batch_size=2, precision="fp32"))
    trainer = Trainer(few, reader_of(few, data), torch.device("cpu"), Fixes())
    with FlopCounterMode(display=False) as counter:
        trainer.step()
    return counter.get_total_flops() / 2 / 1e9


def _measure(world: World, rows: dict[str, Any], name: str, work: Callable[[], dict[str, float]]) -> None:
    """Note under `name` what `work` measures, or why it could not."""
    try:
        rows[name] = work() if world.left() > 6 else "left out: no time"
    except Exception as error:
        traceback.print_exc()
        rows[name] = f"{type(error).__name__}: {error}"[:300]
    print(f"  {name}: {rows[name]}", flush=True)
    if world.cuda:
        gc.collect()
        torch.cuda.empty_cache()


def _rate(
    world: World, rows: dict[str, Any], config: Config, *, data: PreparedData, fixes: Fixes, keep_as: str = ""
) -> dict[str, float]:
    """Images a second of one way of doing a step. A compiled network stays for the graph of it, and for the training."""
    if world.cuda:
        torch.cuda.reset_peak_memory_stats()
    started, trainer = time.perf_counter(), world.kept.get(keep_as) if fixes.compile else None
    trainer = trainer or Trainer(config, reader_of(config, data), world.device, fixes)
    trainer.fixes = fixes
    if fixes.graph:
        trainer.capture()
    trainer.step()
    world.wait()
    if fixes.compile:
        world.kept[keep_as] = trainer
    ready, times = time.perf_counter() - started, median_ms(world, trainer.step, 1.2)
    rate = config.train.batch_size / times["ms"] * 1e3
    found = {"images_per_second": rate, **times, "ready_s": ready, "tflops": rate * rows["gflop_per_image"] / 1e3}
    found |= {"of_convolution": found["tflops"] / world.kept["ceiling"]} if "ceiling" in world.kept else {}
    found |= {"peak_gib": torch.cuda.max_memory_allocated() / 2**30} if world.cuda else {}
    return found | {"loss": trainer.mean_loss()}


class _Silent(Processes):
    """One process that leaves no curves, bar or checkpoints."""

    leads = False  # type: ignore[assignment]


def _whole_loop(world: World, config: Config, data: PreparedData) -> dict[str, float]:
    """The rate of the second half of a short `fit`: reading, copies and all."""
    torch.backends.cudnn.benchmark = False  # as it is
    size, steps = config.train.batch_size, 2 if world.smoke else 120
    half = {"images": steps * size, "log_every_images": steps // 2 * size, "usage_check_images": 10**9}
    short = replace(config, train=replace(config.train, **half))
    with tempfile.TemporaryDirectory() as folder:
        run = start_run(short, "gpu", world.device)
        fit(short, data, run, _Silent(0, 1, world.device), Path(folder) / "checkpoint.pt", Path(folder) / "live")
    return {key: run.rows[-1][key] for key in ("images_per_second", "loss")}
