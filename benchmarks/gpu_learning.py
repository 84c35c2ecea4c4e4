"""Trainings that two cores cannot do, by the step of gpu_step.py, and what their models are worth on validation and test."""

from __future__ import annotations

import time
import traceback
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.gpu_speed import CUMULATIVE
from benchmarks.gpu_step import Pool, Trainer, all_pixels, pool_of
from benchmarks.gpu_world import CLAIMS, World
from soda.common.images import to_float
from soda.common.tensors import tensors_sha256
from soda.config import Config, to_dict
from soda.data.dataset import PreparedData
from soda.evaluation import probe as probing
from soda.evaluation.baselines import calibrate_batchnorm, initial_encoder
from soda.evaluation.knn import knn_probe
from soda.evaluation.latents import latent_use
from soda.evaluation.metrics import psnr, ssim
from soda.evaluation.novel_figures import novel_sheet, turntables
from soda.evaluation.novel_views import measure_novel_views
from soda.evaluation.probe import Features, linear_probe
from soda.evaluation.reconstruct import reconstruct
from soda.model.network import SodaNetwork
from soda.viz.grids import reconstruction_grid

REPORTS = 10  # lines a training


def train_for(world: World, trainer: Trainer, seconds: float) -> dict[str, Any]:
    """Train for about so many seconds: the rate of a few steps says how many images, over which the rates decay."""
    config, size = trainer.config, trainer.config.train.batch_size
    for _ in range(1 if world.smoke else 20):
        trainer.step()
    world.wait()
    started, count = time.perf_counter(), 2 if world.smoke else 60
    for _ in range(count):
        trainer.step()
    world.wait()
    rate = count * size / (time.perf_counter() - started)
    images = 4 * size if world.smoke else max(100 * size, int(rate * seconds * 0.98) // size * size)
    trainer.reset(
        replace(config, train=replace(config.train, images=images, warmup_images=min(config.train.warmup_images, images // 10)))
    )
    steps, curve = images // size, []
    started = time.perf_counter()
    for step in range(steps):
        trainer.step()
        if (step + 1) % max(1, steps // REPORTS) == 0:
            curve.append({"images": (step + 1) * size, "loss": trainer.mean_loss()})
            spent = time.perf_counter() - started
            print(f"    {curve[-1]['images']:>9} images, loss {curve[-1]['loss']:.4f}, {spent:.0f} s", flush=True)
            if spent > 1.15 * seconds + 5:
                break
    world.wait()
    spent = time.perf_counter() - started
    return {
        "images": trainer.run.step * size,
        "seconds": spent,
        "images_per_second": trainer.run.step * size / spent,
        "curve": curve,
    }


def _start(world: World, config: Config, pool: Pool, *names: str) -> Trainer:
    """A trainer by the first of these ways that works."""
    for name in names if world.cuda else ():
        try:
            trainer = Trainer(config, pool, world.device, CUMULATIVE[name])
            trainer.capture()
            return trainer
        except Exception:
            traceback.print_exc()
    return Trainer(config, pool, world.device, CUMULATIVE["+ buffers of the EMA in one foreach"])


# --- Fashion-MNIST


def fashion(world: World) -> dict[str, Any]:
    """ResNet-18 and a U-Net of 128 channels on Fashion-MNIST: probes of z and of the features before it, PSNR from z alone."""
    config, data = world.config("fashion"), PreparedData(world.work / "fashion")
    seconds = 1.0 if world.smoke else min(135.0, 0.36 * (world.ends - time.perf_counter()))
    trainer = world.kept.pop("trainer", None)
    if trainer is None:
        trainer = _start(world, config, pool_of(data, config), "+ CUDA graph")
    trainer.config = config
    trainer.reset(config)
    found: dict[str, Any] = {"parameters": {part: _count(getattr(trainer.run.model, part)) for part in ("encoder", "denoiser")}}
    world.results["fashion"] = found
    found["training"] = train_for(world, trainer, seconds)
    model = trainer.run.ema.eval()
    world.kept["model"] = model
    _keep_encoder(world, model, config, data)
    found |= evaluate(world, model, config, data)
    return found


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _keep_encoder(world: World, model: SodaNetwork, config: Config, data: PreparedData) -> None:
    """The encoder in half precision: whole, both networks are larger than what can be brought back."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.encoder.state_dict().items()}
    half = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    notes = {"data_version": data.version, "sha256_of_float32": tensors_sha256(tensors)}
    save_file(half, world.out / "fashion-encoder.fp16.safetensors", metadata=notes)
    world.results.setdefault("settings", {})["fashion"] = to_dict(config)


@torch.no_grad()
def evaluate(world: World, model: SodaNetwork, config: Config, data: PreparedData, *, brief: bool = False) -> dict[str, Any]:
    """Probes on validation and test, and with all else what is drawn from z. brief: the probe and the PSNR of z alone."""
    if world.cuda:
        probing.ROWS = 1 << 16  # blocks that suit a processor's cache would be all launches
    splits = {name: data.split(name) for name in ("train", "val", "test")}
    pixels = {name: all_pixels(split) for name, split in splits.items()}
    labels = {name: torch.from_numpy(split.labels).to(world.device) for name, split in splits.items()}
    world.kept["val"] = pixels["val"]
    encoders: dict[str, nn.Module] = {"z": model.encoder}
    if not brief:
        untrained = initial_encoder(config).to(world.device)
        calibrate_batchnorm(untrained, to_float(pixels["train"][:512]).to(world.device))
        encoders["untrained z"] = untrained
    features = {key: {name: _embed(world, net, pixels[name]) for name in splits} for key, net in encoders.items()}
    sets = {key: {name: z for name, (z, _) in each.items()} for key, each in features.items()}
    if not brief:
        sets["before z"] = {name: before for name, (_, before) in features["z"].items()}
        sets["untrained, before z"] = {name: before for name, (_, before) in features["untrained z"].items()}
        sets["pixels"] = {name: torch.from_numpy(each).to(world.device).flatten(1).float() / 255 for name, each in pixels.items()}
    found: dict[str, Any] = {"probes": {}}
    for key, each in sets.items():
        with torch.enable_grad():
            given = [Features(each[name].float(), labels[name]) for name in ("train", "val", "test")]
            probe = linear_probe(*given, classes=len(data.label_names), l2=config.evaluate.probe_l2)
            found["probes"][key] = {"val": probe.val_top1, "test": probe.test_top1, "l2": probe.l2, "dim": given[0].x.shape[1]}
            if not brief:
                near = knn_probe(*given, classes=len(data.label_names), k=config.evaluate.knn_k, max_val=10**6)
                found["probes"][key] |= {"knn_val": near.val_top1, "knn_test": near.test_top1, "k": near.k}
        print(f"  {key}: {found['probes'][key]}", flush=True)
    for name in ("val",) if brief else ("val", "test"):
        few = np.linspace(0, len(pixels[name]) - 1, min(1000, len(pixels[name]))).astype(int)
        drawn = reconstruct(model, sets["z"][name][few].float(), seed=0, batch_size=500)
        both = [(to_float(each) + 1) / 2 for each in (drawn, pixels[name][few])]
        found |= {f"psnr_{name}": float(psnr(*both).mean()), f"ssim_{name}": float(ssim(*both).mean())}
        if name == "val" and not brief:
            reconstruction_grid(pixels[name][few][:24], [drawn[:24]], world.out / "fashion-reconstructions.png", side=64)
    some = to_float(pixels["val"][:256]).to(world.device)
    found["usage_gap"] = latent_use(model, some, seed=0, batch_size=256).gap
    print("  " + ", ".join(f"{k} {v:.4f}" for k, v in found.items() if isinstance(v, float)), flush=True)
    return found


def _embed(world: World, encoder: nn.Module, pixels: np.ndarray) -> tuple[Tensor, Tensor]:
    """z (N, D), and what the last linear layer makes it of."""
    before: list[Tensor] = []
    last = [module for module in encoder.modules() if isinstance(module, nn.Linear)][-1]
    hook = last.register_forward_pre_hook(lambda _, inputs: before.append(inputs[0]))
    z = [encoder(to_float(pixels[i : i + 1000]).to(world.device)) for i in range(0, len(pixels), 1000)]
    hook.remove()
    return torch.cat(z), torch.cat(before)


# --- novel views


def views(world: World) -> dict[str, Any]:
    """Novel views of random objects: nearness with the right pose, a wrong one, another object, and by what looks answers up."""
    config, data = world.config("views"), PreparedData(world.work / "objects")
    trainer = _start(world, config, pool_of(data, config), "+ GroupNorm in bf16", "+ CUDA graph")
    seconds = 1.0 if world.smoke else max(20.0, min(125.0, world.left() - 40))
    found: dict[str, Any] = {"parameters": {part: _count(getattr(trainer.run.model, part)) for part in ("encoder", "denoiser")}}
    world.results["views"] = found
    found["splits"] = data.summary["splits"]
    found["training"] = train_for(world, trainer, seconds)
    model = trainer.run.ema.eval()
    half = {
        name: v.detach().cpu().half().contiguous() if v.is_floating_point() else v.cpu() for name, v in model.state_dict().items()
    }
    save_file(half, world.out / "views-model.fp16.safetensors", metadata={"data_version": data.version})
    world.results.setdefault("settings", {})["views"] = to_dict(config)
    samples = 1 if world.smoke else 4
    instrument = initial_encoder(replace(world.config("tiny"), dataset=config.dataset)).to(world.device)
    measured = measure_novel_views(
        model, data.split("train"), data.split("val"), instrument, targets=1, samples=samples, seed=0, batch_size=400
    )
    if measured is None:
        return found | {"measures": "too few objects"}
    novel_sheet(measured, world.out / "views-novel.png")
    if not world.smoke:
        turntables(model, measured, world.out / "views-turntables.png", 0)
    right, wrong = measured.metrics["psnr@1"], measured.metrics["wrong_pose_psnr@1"]
    print(f"  right pose {right:.2f} dB, wrong {wrong:.2f} dB; {measured.metrics['baselines']}", flush=True)
    return found | {"measures": measured.metrics, "pose_gap": right - wrong}


# --- the paper's claims, and what the zoo's recipe comes to with more images


def claims(world: World) -> dict[str, Any]:
    """A million images each of the tiny model, one after the other; then the zoo's recipe in the time left."""
    data, found = PreparedData(world.work / "fashion"), dict[str, Any]()
    world.results["claims"] = found
    longest, seeds = 0.0, (0,) if world.smoke else (0, 1)
    for seed in seeds:
        for name in CLAIMS:
            if world.left() < longest + 3:
                found[f"{name}, seed {seed}"] = "left out: no time"
                continue
            started = time.perf_counter()
            found[f"{name}, seed {seed}"] = _claim(world, name, seed, data, None)
            longest = max(longest, time.perf_counter() - started)
    if world.left() > 40 and not world.smoke:
        found["zoo's recipe"] = _claim(world, "zoo", 0, data, world.left() - 15)
    return found


def _claim(world: World, name: str, seed: int, data: PreparedData, seconds: float | None) -> dict[str, Any]:
    config = world.config(name)
    config = replace(config, train=replace(config.train, seed=seed))
    trainer = _start(world, config, pool_of(data, config), "+ CUDA graph")
    if seconds is not None:
        training = train_for(world, trainer, seconds)
    else:
        started, steps = time.perf_counter(), 4 if world.smoke else config.train.images // config.train.batch_size
        for _ in range(steps):
            trainer.step()
        world.wait()
        spent = time.perf_counter() - started
        training = {"images": steps * config.train.batch_size, "seconds": spent, "loss": trainer.mean_loss()}
    model = trainer.run.ema.eval()
    if name == "zoo":
        tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
        save_file(tensors, world.out / "zoo-model.safetensors", metadata={"data_version": data.version})
        world.results.setdefault("settings", {})["zoo"] = to_dict(trainer.config)
    found = {"training": training, **evaluate(world, model, config, data, brief=True)}
    print(f"  {name}, seed {seed}: {found}", flush=True)
    return found
