"""Where a training step's time goes on a GPU: kernels by kind, launches, and where the host waits for the device."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_speed import COMPILED, CUMULATIVE, paper_views
from benchmarks.gpu_step import Fixes, Trainer, pool_of
from benchmarks.gpu_world import World, median_ms
from soda.config import from_dict, to_dict
from soda.data.dataset import PreparedData
from soda.training.ema import update_ema


def profile(world: World) -> dict[str, Any]:
    """Of the loop's own step, bf16, and of the one with all on the device: launches, copies, waits, the dearest kernels."""
    data, config = PreparedData(world.work / "fashion"), world.config("cifar")
    paper = from_dict({**to_dict(config), "views": world.settings["cifar"]["views"] | paper_views()})
    pool, found = pool_of(data, config), {}
    ways = {
        "loop's step, views=plain": (config, Fixes()),
        "loop's step, views=paper": (paper, Fixes()),
        "all on the device, views=plain": (config, CUMULATIVE["+ buffers of the EMA in one foreach"]),
    }
    for name, (settings, fixes) in ways.items():
        trainer = Trainer(settings, pool, world.device, fixes, precision="bf16")
        for _ in range(1 if world.smoke else 4):
            trainer.step()
        world.wait()
        found[name] = {"waits": _waits(world, trainer), **_kernels(world, trainer)}
    if world.cuda and "trainer" in world.kept:
        found[COMPILED] = _kernels(world, world.kept["trainer"])
    found["ema"] = _ema(world, Trainer(config, pool, world.device, Fixes(resident=True, draws=True, buffers=True)))
    return found


def _waits(world: World, trainer: Trainer, steps: int = 3) -> dict[str, float]:
    """Where the host waits for the device, a step, as torch's own warnings have it."""
    if not world.cuda:
        return {}
    where: Counter[str] = Counter()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(steps):
                trainer.step()
        for each in caught:
            where["/".join(Path(each.filename).parts[-3:]) + f":{each.lineno}"] += 1
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return {"a step": sum(where.values()) / steps, **{line: count / steps for line, count in where.most_common(20)}}


def _kernels(world: World, trainer: Trainer, steps: int = 3) -> dict[str, Any]:
    kinds = [torch.profiler.ProfilerActivity.CPU, *([torch.profiler.ProfilerActivity.CUDA] if world.cuda else [])]
    with torch.profiler.profile(activities=kinds) as profiler:
        for _ in range(steps):
            trainer.step()
        world.wait()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    spent: dict[str, list[float]] = {}
    calls: Counter[str] = Counter()
    for event in events:
        kind = event.get("cat")
        if kind in ("kernel", "gpu_memcpy", "gpu_memset"):
            spent.setdefault(event["name"] if kind == "kernel" else f"{kind}: {event['name']}", []).append(event["dur"])
        elif kind == "cuda_runtime":
            calls[event["name"]] += 1
    kinds_of: dict[str, list[float]] = {}
    for name, each in spent.items():
        kinds_of.setdefault(_kind(name), []).extend(each)
    return {
        "device_ms": sum(sum(each) for each in spent.values()) / steps / 1e3,
        "kernels": sum(len(each) for each in spent.values()) / steps,
        "runtime_calls": {name: count / steps for name, count in calls.most_common(8)},
        "kinds": _dearest(kinds_of, steps, 12),
        "dearest": _dearest(spent, steps, 30),
    }


_KINDS = {
    "convolutions": ("xmma", "conv", "implicit_gemm", "cudnn::"),
    "fused by Inductor": ("triton",),
    "attention": ("sdpa", "flash", "fmha"),
    "matrix products": ("gemm", "nvjet", "cutlass"),
    "copies and changes of layout or type": ("copy", "memcpy", "nchwToNhwc", "nhwcToNchw"),
    "group norm": ("Moments", "GammaBeta", "ComputeInternalGradients", "ComputeFusedParams", "group_norm", "GroupNorm"),
    "batch norm": ("batch_norm", "bn_fw", "bn_bw", "batchnorm"),
    "optimiser, clipping, average": ("multi_tensor_apply",),
    "sums": ("reduce_kernel",),
}


def _kind(name: str) -> str:
    return next((kind for kind, words in _KINDS.items() if any(word in name for word in words)), "other elementwise")


def _dearest(spent: dict[str, list[float]], steps: int, count: int) -> dict[str, dict[str, float]]:
    """The `count` that take longest; names are long, so what differs is kept by a number."""
    order = sorted(spent.items(), key=lambda item: -sum(item[1]))[:count]
    return {f"{k + 1} {name[:160]}": {"ms": sum(v) / steps / 1e3, "times": len(v) / steps} for k, (name, v) in enumerate(order)}


def _ema(world: World, trainer: Trainer) -> dict[str, float]:
    """The average as it is, and with the buffers in one foreach: ms of one update on an otherwise idle device."""
    run = trainer.run
    own = median_ms(world, lambda: update_ema(run.ema, run.model, 0.999, 100), 0.3)
    fused = median_ms(world, trainer._average, 0.3)
    return {"as it is": own["ms"], "one foreach": fused["ms"], "tensors": float(len(list(run.ema.buffers())))}
