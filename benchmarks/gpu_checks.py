"""Does a GPU compute what the CPU does: losses, gradients, samples, a run that changes its device, the exported encoder."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu_step import reader_of
from benchmarks.gpu_world import World, tf32_allowed
from soda.config import Config
from soda.data.dataset import PreparedData
from soda.inference.drawer import Drawer, Sampling
from soda.training.batches import Reader
from soda.training.checkpoint import load_checkpoint, save_checkpoint
from soda.training.step import Run, optimise, start_run, step_loss

TOLERANCES = {
    "fp32, TF32 off": {"z": 1e-4, "loss": 1e-4, "gradient": 1e-3, "samples": 1e-3},
    "TF32": {"z": 1e-2, "loss": 5e-3, "gradient": 3e-2, "samples": 3e-2},
    "bf16": {"z": 5e-2, "loss": 2e-2, "gradient": 1.5e-1, "samples": 1e-1},
}
"""Largest |a - b| / |b| (norms), b being the CPU's in float32. Samples are by DDIM, in the model's own number of steps."""


def parity(world: World) -> dict[str, Any]:
    """Each preset, its weights moved off their start (where outputs are zero), the same draws on both devices."""
    found: dict[str, Any] = {}
    world.results["parity"] = found
    for name in ("tiny", "cifar", "views"):
        config = world.config(name, batch_size=8, precision="fp32")
        config = replace(config, model=replace(config.model, dropout=0.0))
        reader = reader_of(config, PreparedData(world.work / ("objects" if name == "views" else "fashion")))
        wanted = _outcome(config, reader, torch.device("cpu"))
        found[name] = {}
        for kind, limits in TOLERANCES.items():
            precise = replace(config, train=replace(config.train, precision="bf16" if kind == "bf16" else "fp32"))
            with tf32_allowed(kind != "fp32, TF32 off"):
                ours = _outcome(precise, reader, world.device)
            errors = {key: _relative(ours[key], wanted[key]) for key in wanted}
            found[name][kind] = {**errors, "within": all(errors[key] <= limits[key] for key in limits)}
            print(f"  {name}, {kind}: {found[name][kind]}", flush=True)
    return found


def _relative(ours: Tensor, wanted: Tensor) -> float:
    return float((ours - wanted).norm() / wanted.norm())


def _outcome(config: Config, reader: Reader, device: torch.device) -> dict[str, Tensor]:
    """z, loss, gradient and samples, on the CPU in float64."""
    run = start_run(config, "parity", torch.device("cpu"))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    model = run.model.to(device).train()
    batch = reader.at(0).to(device)
    loss = step_loss(model, config, batch, 3)
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.eval()
    x_T = torch.randn(batch.target.shape, generator=generator)
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=config.train.precision == "bf16"):
        z = model.encode(batch.sources[:, 0], None if batch.source_cameras is None else batch.source_cameras[:, 0])
        samples = Drawer(model).draw(z.float(), x_T, Sampling(sampler="ddim", eta=0.0))
    found = {"z": z, "loss": loss.detach(), "gradient": gradient, "samples": samples}
    return {name: value.cpu().double() for name, value in found.items()}


# --- a run that changes its device


def resume(world: World) -> dict[str, Any]:
    """Ten steps on the CPU, a checkpoint, then ten more on either device: the same losses, and the other way round."""
    config = world.config("tiny", precision="fp32")
    reader = reader_of(config, PreparedData(world.work / "fashion"))
    file, cpu = world.work / "resume.pt", torch.device("cpu")
    with tf32_allowed(False):
        begun = start_run(config, "resume", cpu)
        before = _steps(begun, config, reader, cpu, 10)
        save_checkpoint(file, begun.state())
        straight = _steps(begun, config, reader, cpu, 10)
        moved = start_run(config, "resume", world.device)
        moved.restore(load_checkpoint(file, "resume"))
        losses = _steps(moved, config, reader, world.device, 10)
        save_checkpoint(file, moved.state())
        back = start_run(config, "resume", cpu)
        back.restore(load_checkpoint(file, "resume"))
        last, on_device = _steps(back, config, reader, cpu, 5), _steps(moved, config, reader, world.device, 5)
    pairs = zip(straight + on_device, losses + last, strict=True)
    found = {"cpu": before + straight, "from_step_10": losses, "back_on_cpu": last, "stayed": on_device}
    return found | {"largest_difference": max(abs(a - b) / b for a, b in pairs), "weights": _relative(_flat(back), _flat(moved))}


def _steps(run: Run, config: Config, reader: Reader, device: torch.device, count: int) -> list[float]:
    run.model.train()
    return [float(optimise(run, run.model, config, reader.at(run.step).to(device))) for _ in range(count)]


def _flat(run: Run) -> Tensor:
    return torch.cat([p.detach().flatten().cpu() for p in run.ema.parameters()])


# --- export


def export(world: World) -> dict[str, Any]:
    """The trained encoder (or a fresh one) to ONNX here, compared with torch on the CPU and on the device."""
    import onnxruntime

    from soda.export.graph import DeployedEncoder
    from soda.export.onnx import to_onnx

    config = world.config("fashion")
    model: Any = world.kept.get("model") or start_run(config, "export", torch.device("cpu")).ema
    encoder = copy.deepcopy(model.encoder).cpu().eval()
    graph = DeployedEncoder(encoder, image_size=model.image_size, channels=model.channels, resize=config.dataset.resize).eval()
    started = time.perf_counter()
    whole = to_onnx(graph, config.export.opset).SerializeToString()
    seconds = time.perf_counter() - started
    session = onnxruntime.InferenceSession(whole, providers=["CPUExecutionProvider"])
    images = np.repeat(PreparedData(world.work / "fashion").split("val").gather(np.arange(16)), 3, axis=3)
    ours = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: images})[0])
    with torch.no_grad():
        wanted, pixels = graph(torch.from_numpy(images)), graph.pixels(torch.from_numpy(images))
        on_device = copy.deepcopy(encoder).to(world.device)(pixels.to(world.device) / 127.5 - 1).cpu()
    found = {"seconds": seconds, "bytes": len(whole), "runtime": onnxruntime.__version__, "images": len(images)}
    for name, z in (("onnx", ours), ("device", on_device)):
        found[f"{name}_from_torch_in_sigma"] = float(((z - wanted) / wanted.std(0).clamp(min=1e-6)).abs().max())
    return found
