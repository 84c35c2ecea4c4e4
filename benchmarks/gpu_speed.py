"""How fast training is: the card's own ceilings, the loop as it is, what each change is worth, and where a step's time goes."""

from __future__ import annotations

import contextlib
import gc
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_step import Fixes, Pool, Trainer, pool_of, random_pool
from benchmarks.gpu_world import World, median_ms, stand_in_for_dvclive
from benchmarks.training import convolution_flops
from soda.config import Config, from_dict, to_dict
from soda.data.dataset import PreparedData
from soda.training.distributed import Processes
from soda.training.loop import fit
from soda.training.step import start_run

_ON_DEVICE = Fixes(resident=True, draws=True, buffers=True)
CUMULATIVE: dict[str, Fixes] = {
    "loop's step": Fixes(),
    "+ images on the device": Fixes(resident=True),
    "+ draws on the device": Fixes(resident=True, draws=True),
    "+ buffers of the EMA in one foreach": _ON_DEVICE,
    "+ CUDA graph": replace(_ON_DEVICE, graph=True),
    "+ cuDNN tuned": replace(_ON_DEVICE, graph=True, tuned=True),
    "+ GroupNorm in bf16": replace(_ON_DEVICE, graph=True, tuned=True, bf16_norm=True),
    "compile, no graph": replace(_ON_DEVICE, tuned=True, compile=True),
    "compile + CUDA graph": replace(_ON_DEVICE, tuned=True, compile=True, graph=True),
}
COMPILED = "compile + CUDA graph"
SHAPES = ((128, 128, 1, 32), (256, 256, 1, 16), (256, 256, 1, 8), (64, 64, 1, 32), (32, 32, 1, 16))


# --- ceilings


def roofline(world: World) -> dict[str, Any]:
    """3x3 convolutions forward and backward, a matrix product and a copy, on this device."""
    device, batch = world.device, 2 if world.smoke else 128
    found: dict[str, Any] = {"tflops": {}}
    shapes = SHAPES[-1:] if world.smoke else SHAPES
    kinds = {"bf16": torch.bfloat16, "fp32": torch.float32}
    with tf32_allowed(False):
        for name, dtype in kinds.items():
            for shape in shapes:
                found["tflops"][f"3x3 {shape[0]} at {shape[3]} px, batch {batch}, {name}"] = _convolution(
                    world, shape, batch, dtype
                )
    with tf32_allowed(True):
        key = f"3x3 {shapes[0][0]} at {shapes[0][3]} px, batch {batch}, tf32"
        found["tflops"][key] = _convolution(world, shapes[0], batch, torch.float32)
    side = 128 if world.smoke else 8192
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    found["tflops"][f"matrix product of {side}, bf16"] = 2 * side**3 / median_ms(world, lambda: a @ b, 0.5)["ms"] / 1e9
    source = torch.empty(1 << (16 if world.smoke else 30), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    found["copy_tb_s"] = 2 * len(source) / median_ms(world, lambda: target.copy_(source), 0.3)["ms"] / 1e9
    world.kept["ceiling"] = found["tflops"][f"3x3 {shapes[0][0]} at {shapes[0][3]} px, batch {batch}, bf16"]
    return found


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

    call: Callable[[], object] = work
    if world.cuda:
        stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            work()
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(graph):
            work()
        call = graph.replay
    return count * convolution_flops((*shape, batch)) / median_ms(world, call, 0.3)["ms"] / 1e9


@contextlib.contextmanager
def tf32_allowed(allowed: bool) -> Any:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


# --- images a second


def throughput(world: World) -> dict[str, Any]:
    """The presets, each way of doing a step; what fails is noted and the next one tried. Dearest last."""
    found: dict[str, Any] = {}
    world.results["throughput"] = found  # so that what is measured stays when time runs out
    data = PreparedData(world.work / "fashion")
    configs = {name: world.config(name) for name in ("cifar", "tiny", "imagenet")}
    pools = {name: random_pool(each) if name == "imagenet" else pool_of(data, each) for name, each in configs.items()}
    for preset, config in configs.items():
        found[preset] = {"gflop_per_image": _gflop(world, config), "batch": config.train.batch_size}
    for preset in ("cifar", "tiny"):
        config, pool, place = configs[preset], pools[preset], found[preset]
        _measure(world, place, "fp32, TF32 off: loop's step", config, pool, Fixes(), "fp32", tf32=False)
        _measure(world, place, "fp32, torch's defaults: loop's step", config, pool, Fixes(), "fp32")
        for name, fixes in CUMULATIVE.items():
            if not fixes.compile:
                _measure(world, place, f"bf16: {name}", config, pool, fixes, "bf16")
        _compiled(world, place, preset, config, pool)
        precision = "bf16" if preset == "cifar" else "fp32"
        changes = {"precision": precision, "compile": False}
        _whole_loop(world, place, f"the whole loop (fit), {precision}", config, data, changes)
    for name in ("loop's step", "+ CUDA graph", "+ GroupNorm in bf16"):
        _measure(world, found["imagenet"], f"bf16: {name}", configs["imagenet"], pools["imagenet"], CUMULATIVE[name], "bf16")
    paper = from_dict({**to_dict(configs["cifar"]), "views": world.settings["cifar"]["views"] | paper_views()})
    for name in ("loop's step", "+ buffers of the EMA in one foreach", "+ CUDA graph"):
        _measure(world, found["cifar"], f"bf16, views=paper: {name}", paper, pools["cifar"], CUMULATIVE[name], "bf16")
    compiled = {"precision": "bf16", "compile": True}
    _whole_loop(world, found["cifar"], "the whole loop (fit), bf16, compile", configs["cifar"], data, compiled)
    if world.left() > 80 and not world.smoke:
        _compiled(world, found["imagenet"], "imagenet", configs["imagenet"], pools["imagenet"])
    return found


def paper_views() -> dict[str, Any]:
    """views=paper, beside what pairs there are."""
    view = {"crop_prob": 0.95, "crop_scale_min": 0.2, "flip_prob": 0.5, "randaugment_prob": 0.65, "randaugment_ops": 2}
    view |= {"randaugment_magnitude": 0.3, "noise_sigma": 0.0}
    return {"source": view | {"noise_sigma": 0.1}, "target": view}


def _gflop(world: World, config: Config) -> float:
    """Forward and backward of an image, counted; a multiply-add is two."""
    few = replace(config, train=replace(config.train, batch_size=2, precision="fp32"))
    trainer = Trainer(few, random_pool(few, 8), world.device, Fixes())
    with FlopCounterMode(display=False) as counter:
        trainer.step()
    return counter.get_total_flops() / 2 / 1e9


def _measure(
    world: World, place: dict[str, Any], name: str, config: Config, pool: Pool, fixes: Fixes, precision: str, *, tf32: bool = True
) -> Trainer | None:
    """Note images a second under `name`; None, with the error noted, where it cannot be done."""
    if world.left() < 6:
        place[name] = "left out: no time"
        return None
    if fixes.graph and not world.cuda:
        return None
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = tf32 and before
    trainer = None
    try:
        started = time.perf_counter()
        trainer = Trainer(config, pool, world.device, fixes, precision=precision)
        if fixes.graph:
            trainer.capture()
        _note(world, place, name, config, trainer, started)
    except Exception as error:
        traceback.print_exc()
        place[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:300] if str(error) else ''}"
        trainer = None
    finally:
        torch.backends.cudnn.allow_tf32 = before
        if world.cuda:
            gc.collect()
            torch.cuda.empty_cache()
    return trainer


def _note(world: World, place: dict[str, Any], name: str, config: Config, trainer: Trainer, started: float) -> None:
    if world.cuda:
        torch.cuda.reset_peak_memory_stats()
    trainer.step()
    world.wait()
    ready = time.perf_counter() - started
    times = median_ms(world, trainer.step, 1.2)
    rate = config.train.batch_size / times["ms"] * 1e3
    tflops = rate * place["gflop_per_image"] / 1e3
    place[name] = {"images_per_second": rate, **times, "tflops": tflops, "ready_s": ready, "loss": trainer.mean_loss()}
    if ceiling := world.kept.get("ceiling"):
        place[name]["of_convolution"] = tflops / ceiling
    if world.cuda:
        place[name]["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    print(
        f"  {name:<60}{rate:>10.0f} images/s {times['ms']:8.2f} ms, host {times['host_ms']:.2f} ms, ready {ready:.1f} s",
        flush=True,
    )


def _compiled(world: World, place: dict[str, Any], preset: str, config: Config, pool: Pool) -> None:
    """Compile once, then measure without and with a graph; the trainer of `cifar` stays for the training."""
    if not world.cuda:
        return
    trainer = _measure(world, place, "bf16: compile, no graph", config, pool, CUMULATIVE["compile, no graph"], "bf16")
    if trainer is None:
        return
    try:
        started = time.perf_counter()
        trainer.fixes = CUMULATIVE[COMPILED]
        trainer.capture()
        _note(world, place, f"bf16: {COMPILED}", config, trainer, started)
        if preset == "cifar":
            world.kept["trainer"] = trainer
    except Exception as error:
        traceback.print_exc()
        place[f"bf16: {COMPILED}"] = f"{type(error).__name__}: {error}"[:300]


def _whole_loop(
    world: World, place: dict[str, Any], name: str, config: Config, data: PreparedData, train: dict[str, Any]
) -> None:
    """The rate of the second half of a short `fit`: reading, copies, bar and all."""
    if world.left() < (20 if train.get("compile") else 6) or (train.get("compile") and not world.cuda):
        place[name] = "left out: no time"
        return
    stand_in_for_dvclive()
    torch.backends.cudnn.benchmark = False  # as it is
    size, steps = config.train.batch_size, 2 if world.smoke else 160 if train.get("compile") else 120
    half = {"images": steps * size, "log_every_images": steps // 2 * size, "checkpoint_every_images": 10 * steps * size}
    settings = replace(config.train, **{**train, **half, "usage_check_images": 10**9, "device": world.device.type})
    short = replace(config, train=settings)
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = start_run(short, "gpu", world.device)
            fit(short, data, run, Processes(0, 1, world.device), Path(folder) / "checkpoint.pt", Path(folder) / "live")
        place[name] = {"images_per_second": run.rows[-1]["images_per_second"], "loss": run.rows[-1]["loss"]}
        print(f"  {name:<60}{place[name]['images_per_second']:>10.0f} images/s", flush=True)
    except Exception as error:
        traceback.print_exc()
        place[name] = f"{type(error).__name__}: {error}"[:300]


def machine(world: World) -> dict[str, Any]:
    """What it ran on."""
    found: dict[str, Any] = {"torch": torch.__version__, "numpy": np.__version__, "threads": torch.get_num_threads()}
    if world.cuda:
        card = torch.cuda.get_device_properties(world.device)
        found |= {"card": card.name, "multiprocessors": card.multi_processor_count, "memory_gib": card.total_memory / 2**30}
        found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    return found
