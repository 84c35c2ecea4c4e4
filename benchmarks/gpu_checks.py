"""Does a GPU compute what the CPU does: losses, gradients, samples, a run that changes its device, the exported encoder."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu_speed import tf32_allowed
from benchmarks.gpu_step import Pool, pool_of
from benchmarks.gpu_world import World
from soda.common.images import to_float
from soda.config import Config
from soda.data.dataset import PreparedData
from soda.training.checkpoint import load_checkpoint, save_checkpoint
from soda.training.step import Run, optimise, start_run, step_loss

TOLERANCES = {
    "fp32, TF32 off": {"z": 1e-4, "loss": 1e-4, "gradient": 1e-3, "samples": 1e-3},
    "TF32": {"z": 1e-2, "loss": 5e-3, "gradient": 3e-2, "samples": 3e-2},
    "bf16": {"z": 5e-2, "loss": 2e-2, "gradient": 1.5e-1, "samples": 1e-1},
}
"""Largest |a - b| / |b| (norms), b being the CPU's in float32. Samples are of ten steps of the model's own sampler."""


def parity(world: World) -> dict[str, Any]:
    """Each preset, its weights moved off their start (where outputs are zero), the same draws on both devices."""
    found: dict[str, Any] = {"tolerances": TOLERANCES}
    world.results["parity"] = found
    for name in ("tiny", "cifar", "views"):
        config = world.config(name)
        config = replace(
            config, model=replace(config.model, dropout=0.0), train=replace(config.train, batch_size=8, precision="fp32")
        )
        started = time.perf_counter()
        wanted = _outcome(config, torch.device("cpu"), name)
        found[name] = {"cpu_seconds": time.perf_counter() - started}
        for kind, limits in TOLERANCES.items():
            precise = replace(config, train=replace(config.train, precision="bf16" if kind == "bf16" else "fp32"))
            with tf32_allowed(kind != "fp32, TF32 off"):
                ours = _outcome(precise, world.device, name)
            errors = {key: _relative(ours[key], wanted[key]) for key in wanted}
            found[name][kind] = {**errors, "within": all(errors[key] <= limits[key] for key in limits)}
            print(
                f"  {name}, {kind}: " + ", ".join(f"{k} {v:.2g}" for k, v in errors.items()),
                found[name][kind]["within"],
                flush=True,
            )
    return found


def _relative(ours: Tensor, wanted: Tensor) -> float:
    return float((ours - wanted).norm() / wanted.norm())


def _outcome(config: Config, device: torch.device, name: str) -> dict[str, Tensor]:
    """z, loss, gradient and samples, on the CPU in float64."""
    run = start_run(config, "parity", torch.device("cpu"))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    model = run.model.to(device).train()
    size, channels = config.dataset.image_size, config.dataset.channels
    views = 1 if name != "views" else 1 + config.views.pairs.sources
    images = (torch.rand(8, views * channels, size, size, generator=generator) * 2 - 1).to(
        device, memory_format=torch.channels_last
    )
    cameras = _cameras(8, views).to(device) if name == "views" else None
    loss = step_loss(model, config, images, 3, cameras)
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.eval()
    bf16 = config.train.precision == "bf16"
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        z = model.encode(images[:, :channels], None if cameras is None else cameras[:, 0])
        x_T = torch.randn(8, channels, size, size, generator=generator).to(device)
        samples = model.decode(z.float(), x_T=x_T, sampler="ddim", eta=0.0)
    return {
        "z": z.cpu().double(),
        "loss": loss.detach().cpu().double(),
        "gradient": gradient.cpu().double(),
        "samples": samples.cpu().double(),
    }


def _cameras(count: int, views: int) -> Tensor:
    from soda.geometry.cameras import camera, focal_length, upper_half_sphere

    poses = upper_half_sphere(count * views, np.random.default_rng(0), elevation=(0, 85), distance=(2.65, 2.95))
    return torch.tensor([camera(pose, focal_length(45)).numbers for pose in poses], dtype=torch.float32).view(count, views, 16)


# --- a run that changes its device


def resume(world: World) -> dict[str, Any]:
    """Ten steps on the CPU, a checkpoint, then ten more on either device: the same losses, and the other way round."""
    config = world.config("tiny")
    config = replace(config, train=replace(config.train, precision="fp32"))
    pool = pool_of(PreparedData(world.work / "fashion"), config)
    file, cpu, found = world.work / "resume.pt", torch.device("cpu"), dict[str, Any]()
    with tf32_allowed(False):
        begun = start_run(config, "resume", cpu)
        before = _steps(begun, config, pool, cpu, 10)
        save_checkpoint(file, begun.state())
        straight = _steps(begun, config, pool, cpu, 10)
        moved = start_run(config, "resume", world.device)
        moved.restore(load_checkpoint(file, "resume"))
        losses = _steps(moved, config, pool, world.device, 10)
        save_checkpoint(file, moved.state())
        back = start_run(config, "resume", cpu)
        back.restore(load_checkpoint(file, "resume"))
        last, on_device = _steps(back, config, pool, cpu, 5), _steps(moved, config, pool, world.device, 5)
    found |= {"cpu": before + straight, "from_step_10": losses, "back_on_cpu": last, "stayed": on_device}
    found["largest_difference"] = max(abs(a - b) / b for a, b in zip(straight + on_device, losses + last, strict=True))
    found["weights"] = _relative(_flat(back), _flat(moved))
    return found


def _steps(run: Run, config: Config, pool: Pool, device: torch.device, count: int) -> list[float]:
    run.model.train()
    losses = []
    for _ in range(count):
        images = to_float(pool.pixels[pool.draw(run.step)[0]]).to(device)
        losses.append(float(optimise(run, run.model, config, images, 0)))
    return losses


def _flat(run: Run) -> Tensor:
    return torch.cat([p.detach().flatten().cpu() for p in run.ema.parameters()])


# --- export


def export(world: World) -> dict[str, Any]:
    """The trained encoder (or a fresh one) to ONNX here, compared with torch on the CPU and on the device."""
    import onnx
    import onnxruntime

    from soda.export.graph import DeployedEncoder
    from soda.export.onnx import to_onnx

    config = world.config("fashion")
    model: Any = world.kept.get("model") or start_run(config, "export", torch.device("cpu")).ema
    encoder = copy.deepcopy(model.encoder).cpu().eval()
    graph = DeployedEncoder(encoder, image_size=model.image_size, channels=model.channels, resize=config.dataset.resize).eval()
    started = time.perf_counter()
    proto = to_onnx(graph, 18)
    onnx.checker.check_model(proto)
    seconds, bytes_ = time.perf_counter() - started, proto.SerializeToString()
    session = onnxruntime.InferenceSession(bytes_, providers=["CPUExecutionProvider"])
    pictures = np.random.default_rng(0).integers(0, 256, (16, 40, 48, 3), dtype=np.uint8)
    if "val" in world.kept:
        pictures = np.repeat(world.kept["val"][:64], 3, axis=3)
    ours = session.run(None, {session.get_inputs()[0].name: pictures})[0]
    with torch.no_grad():
        wanted = graph(torch.from_numpy(pictures))
        spread = wanted.std(0).clamp(min=1e-6)
        on_device = copy.deepcopy(encoder).to(world.device)(graph.pixels(torch.from_numpy(pictures)).to(world.device) / 127.5 - 1)
    return {
        "seconds": seconds,
        "bytes": len(bytes_),
        "runtime": onnxruntime.__version__,
        "onnx_from_torch_in_sigma": float(((torch.from_numpy(ours) - wanted) / spread).abs().max()),
        "device_from_cpu_in_sigma": float(((on_device.cpu() - wanted) / spread).abs().max()),
        "pictures": len(pictures),
    }
