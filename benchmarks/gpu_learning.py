"""Trainings that two cores cannot do, by the step of gpu_step.py, and what their models are worth on validation and test."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from safetensors.torch import save_file
from torch import nn

from benchmarks.gpu_speed import ON_DEVICE, WAYS
from benchmarks.gpu_step import Trainer, reader_of
from benchmarks.gpu_world import World, median_ms
from benchmarks.novel_views import on_validation
from soda.common.images import to_float
from soda.config import Config, to_dict
from soda.data.dataset import PreparedData
from soda.evaluation import linear_probe as probing
from soda.evaluation.baselines.untrained import calibrate_batchnorm, initial_encoder
from soda.evaluation.image_metrics import FixedNetwork, ImageJudge
from soda.evaluation.knn import knn_probe
from soda.evaluation.linear_probe import Features, linear_probe
from soda.evaluation.measures.latent import use_of_z
from soda.evaluation.novel_figures import novel_sheet, turntables
from soda.evaluation.reconstruct import reconstruct
from soda.evaluation.samples import draw_positions, draw_sample, embed, pixels
from soda.evaluation.view_synthesis import measure_novel_views
from soda.inference.drawer import Drawer
from soda.model.network import SodaNetwork
from soda.viz.grids import reconstruction_grid

REPORTS = 10  # lines a training


def _train_for(world: World, trainer: Trainer, seconds: float) -> dict[str, Any]:
    """Train for about so many seconds: the rate of a few steps says how many images, over which the rates decay."""
    config, size = trainer.config, trainer.config.train.batch_size
    possible = int(seconds * 0.98e3 / median_ms(world, trainer.step, 2.0, warm=30)["ms"])
    steps, curve = 4 if world.smoke else max(100, possible), list[dict[str, float]]()
    warm = min(config.train.warmup_images, steps * size // 10)
    trainer.reset(replace(config, train=replace(config.train, images=steps * size, warmup_images=warm)))
    started, spent = time.perf_counter(), 0.0
    for step in range(steps):
        trainer.step()
        if (step + 1) % max(1, steps // REPORTS) == 0:
            curve.append({"images": (step + 1) * size, "loss": trainer.mean_loss()})
            spent = time.perf_counter() - started
            print(f"    {curve[-1]['images']:>9} images, loss {curve[-1]['loss']:.4f}, {spent:.0f} s", flush=True)
            if spent > 1.15 * seconds + 5:
                break
    done = trainer.run.step * size
    return {"images": done, "seconds": spent, "images_per_second": done / spent, "curve": curve}


def _begin(world: World, config: Config, data: PreparedData) -> Trainer:
    """A trainer with a graph, where there can be one."""
    trainer = Trainer(config, reader_of(config, data), world.device, WAYS["+ CUDA graph"] if world.cuda else ON_DEVICE)
    if world.cuda:
        trainer.capture()
    return trainer


def _count(model: SodaNetwork) -> dict[str, int]:
    return {part: sum(p.numel() for p in getattr(model, part).parameters()) for part in ("encoder", "denoiser")}


def _keep(world: World, name: str, network: nn.Module, config: Config, data: PreparedData) -> None:
    """Weights in half precision, which are small enough to be carried away, and the settings."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    half = {key: value.half() if value.is_floating_point() else value for key, value in tensors.items()}
    save_file(half, world.out / f"{name}.fp16.safetensors", metadata={"data_version": data.version})
    world.results.setdefault("settings", {})[name] = to_dict(config)


# --- Fashion-MNIST


def fashion(world: World) -> dict[str, Any]:
    """ResNet-18 and a U-Net of 128 channels on Fashion-MNIST: probes of z and of the features before it, PSNR from z alone."""
    config, data = world.config("fashion"), PreparedData(world.work / "fashion")
    seconds = 1.0 if world.smoke else min(135.0, 0.36 * (world.ends - time.perf_counter()))
    trainer = world.kept.pop("cifar", None) or _begin(world, config, data)  # that of `throughput` is compiled already
    trainer.reset(config)
    model = world.kept["model"] = trainer.run.ema
    found = world.results["fashion"] = {"parameters": _count(model), "training": _train_for(world, trainer, seconds)}
    _keep(world, "fashion-encoder", model.encoder, config, data)
    _keep(world, "fashion-denoiser", model.denoiser, config, data)
    _evaluate(world, found, model, config, data)
    return found


def _evaluate(world: World, found: dict[str, Any], model: SodaNetwork, config: Config, data: PreparedData) -> None:
    """Probes on validation and test, and what is drawn from z alone."""
    if world.cuda:
        probing.ROWS = 1 << 16  # blocks that suit a processor's cache would be all launches
    splits = {name: draw_sample(data.split(name), 10**9, 0) for name in ("train", "val", "test")}
    untrained = initial_encoder(config).to(world.device)
    calibrate_batchnorm(untrained, to_float(splits["train"].gather(np.arange(512) % len(splits["train"]))).to(world.device))
    both = {"z": model.encoder, "untrained, z": untrained}
    encoders = both | {name.replace("z", "before z"): _without_head(encoder) for name, encoder in both.items()}
    embedded = {key: partial(embed, encoder, batch_size=1000, device=world.device) for key, encoder in encoders.items()}
    probes = found["probes"] = {}
    for key, features in {**embedded, "pixels": partial(pixels, batch_size=1000)}.items():
        given = [Features(*(each.to(world.device) for each in features(sample))) for sample in splits.values()]
        probe = linear_probe(*given, classes=len(data.label_names), l2=config.evaluate.probe_l2)
        near = knn_probe(*given, classes=len(data.label_names), k=config.evaluate.knn_k)
        probes[key] = {"dim": given[0].x.shape[1], "val": probe.val_top1, "test": probe.test_top1, "l2": probe.l2}
        probes[key] |= {"knn_val": near.val_top1, "knn_test": near.test_top1, "k": near.k}
        print(f"  {key}: {probes[key]}", flush=True)
    drawer, judge = Drawer(model, batch_size=500), ImageJudge(FixedNetwork(untrained), batch_size=500)
    for name in ("val", "test"):
        images = splits[name].gather(draw_positions(splits[name], 1000, 0))
        drawn = reconstruct(drawer, drawer.encode(to_float(images)), seed=0)
        near = judge.nearness(drawn, images)
        found |= {f"psnr_{name}": float(near.psnr.mean()), f"ssim_{name}": float(near.ssim.mean())}
        reconstruction_grid(images[:24], [drawn[:24]], world.out / f"fashion-{name}.png")
    some = to_float(splits["val"].gather(np.arange(min(256, len(splits["val"]))))).to(world.device)
    found["usage_gap"] = use_of_z(model, some, seed=0, batch_size=256).gap


def _without_head(encoder: nn.Module) -> nn.Module:
    """What the last linear layer makes z of."""
    short = copy.deepcopy(encoder)
    short.set_submodule([name for name, module in short.named_modules() if isinstance(module, nn.Linear)][-1], nn.Identity())
    return short.eval()


# --- novel views


def views(world: World) -> dict[str, Any]:
    """Novel views of random objects: nearness with the right pose, a wrong one, another object, and by what looks answers up."""
    config, data = world.config("views"), PreparedData(world.work / "objects")
    trainer = _begin(world, config, data)
    model, seconds = trainer.run.ema, 1.0 if world.smoke else max(20.0, min(125.0, world.left() - 40))
    training = _train_for(world, trainer, seconds)
    found = world.results["views"] = {"parameters": _count(model), "splits": data.summary["splits"], "training": training}
    _keep(world, "views-model", model, config, data)
    instrument = FixedNetwork(initial_encoder(replace(world.config("tiny"), dataset=config.dataset)).to(world.device))
    drawer = Drawer(model, batch_size=400)
    protocol = replace(config.evaluate, view_targets=1, view_samples=1 if world.smoke else 4, seed=0)
    measured = measure_novel_views(drawer, on_validation(data), instrument, protocol)
    if measured is None:
        return found | {"measures": "too few objects"}
    if not world.smoke:
        novel_sheet(measured, world.out / "views-novel.png")
        turntables(model, measured, world.out / "views-turntables.png", 0)
    return found | {"measures": measured.metrics, "pose_gap": measured.metrics["psnr@1"] - measured.metrics["wrong_pose_psnr@1"]}
