"""Where a training step's time goes on a GPU: kernels by kind, launches, and where the host waits for the device."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_speed import COMPILED, ON_DEVICE
from benchmarks.gpu_step import Fixes, Trainer, reader_of
from benchmarks.gpu_world import World, median_ms
from soda.data.dataset import PreparedData
from soda.training.ema import update_ema

_WAYS = {
    "loop's step, views=plain": ("cifar", Fixes()),
    "loop's step, views=paper": ("paper views", Fixes()),
    "all on the device, views=plain": ("cifar", ON_DEVICE),
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


def profile(world: World) -> dict[str, Any]:
    """Of the loop's own step, bf16, and of the one with all on the device: launches, copies, waits, the dearest kernels."""
    data, found = PreparedData(world.work / "fashion"), dict[str, Any]()
    for name, (settings, fixes) in _WAYS.items():
        config = world.config(settings, precision="bf16")
        trainer = Trainer(config, reader_of(config, data), world.device, fixes)
        for _ in range(1 if world.smoke else 4):
            trainer.step()
        world.wait()
        found[name] = {"waits": _waits(world, trainer), **_kernels(world, trainer)}
    run = trainer.run
    own = median_ms(world, lambda: update_ema(run.ema, run.model, config.train, 100), 0.3)
    found["EMA alone, ms"] = {"as it is": own["ms"], "one foreach": median_ms(world, trainer.average, 0.3)["ms"]}
    if "cifar" in world.kept:
        found[COMPILED] = _kernels(world, world.kept["cifar"])
    return found


def _waits(world: World, trainer: Trainer, steps: int = 3) -> dict[str, float]:
    """Where the host waits for the device, a step, as torch's own warnings have it."""
    if not world.cuda:
        return {}
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(steps):
                trainer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    where = Counter("/".join(Path(each.filename).parts[-3:]) + f":{each.lineno}" for each in caught)
    return {"a step": len(caught) / steps, **{line: count / steps for line, count in where.most_common(20)}}


def _kernels(world: World, trainer: Trainer, steps: int = 3) -> dict[str, Any]:
    watched = [torch.profiler.ProfilerActivity.CPU, *([torch.profiler.ProfilerActivity.CUDA] if world.cuda else [])]
    with torch.profiler.profile(activities=watched) as profiler:
        for _ in range(steps):
            trainer.step()
        world.wait()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    by_name: dict[str, list[float]] = {}
    by_kind: dict[str, list[float]] = {}
    for event in events:
        if event.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset"):
            name = event["name"] if event["cat"] == "kernel" else f"{event['cat']}: {event['name']}"
            by_name.setdefault(name, []).append(event["dur"])
            by_kind.setdefault(_kind(name), []).append(event["dur"])
    calls = Counter(event["name"] for event in events if event.get("cat") == "cuda_runtime")
    return {
        "device_ms": sum(map(sum, by_name.values())) / steps / 1e3,
        "kernels": sum(map(len, by_name.values())) / steps,
        "runtime_calls": {name: count / steps for name, count in calls.most_common(8)},
        "kinds": _dearest(by_kind, steps, 12),
        "dearest": _dearest(by_name, steps, 30),
    }


def _kind(name: str) -> str:
    return next((kind for kind, words in _KINDS.items() if any(word in name for word in words)), "other elementwise")


def _dearest(spent: dict[str, list[float]], steps: int, count: int) -> dict[str, dict[str, float]]:
    """The `count` that take longest; names are long, so what differs is kept by a number."""
    order = sorted(spent.items(), key=lambda item: -sum(item[1]))[:count]
    return {f"{k + 1} {name[:160]}": {"ms": sum(v) / steps / 1e3, "times": len(v) / steps} for k, (name, v) in enumerate(order)}
