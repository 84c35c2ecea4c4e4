"""What the parts of `benchmarks.gpu` share: device, settings, folders, time left, and the named settings themselves."""

from __future__ import annotations

import importlib.machinery
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from soda.config import Config, compose, from_dict

_GPU = ["train=paper", "train.lr=0.001", "train.encoder_lr_factor=1", "train.warmup_images=25600", "train.ema_decay=0.9995"]
_VIEWS = ["dataset=random_objects", "dataset.image_size=64", "model.encoder_width=64", "model.channels=96", "model.head_dim=32"]
_LONG = ["train=long", "train.images=1000000", "model.section_drop=0.1", "model.latent_drop=0.1"]
NAMED: dict[str, list[str]] = {
    "tiny": [],
    "cifar": ["model=cifar", "train=paper"],
    "imagenet": ["model=imagenet", "train=paper", "dataset.image_size=64", "dataset.channels=3"],
    "fashion": ["model=cifar", *_GPU],
    "views": [*_VIEWS, "model.channel_mult=[1,2,3,3]", "model.latent_dim=320", *_GPU],
    "base": [*_LONG, "model.latent_dim=128", "model.channels=32"],
    "modulation_off": [*_LONG, "model.latent_dim=128", "model.channels=32", "model.layer_modulation=false"],
    "masking_off": [*_LONG, "model.latent_dim=128", "model.channels=32", "model.section_drop=0"],
    "inverted": [*_LONG, "model.latent_dim=128", "model.channels=32", "diffusion.schedule=inverted"],
    "zoo": ["train=long"],
}
"""Overrides of conf/: the presets whose speed is measured, the two long trainings, the paper's claims, what the zoo ships."""

CLAIMS = ("base", "modulation_off", "masking_off", "inverted")
_SMALL = ["dataset.image_size=16", "model.encoder_width=8", "model.channels=8", "model.channel_mult=[1,2]", "model.head_dim=8"]
_SMALL += [
    "model.blocks_per_level=1",
    "model.latent_dim=12",
    "model.time_dim=16",
    "model.attention_levels=[]",
    "model.encoder=tiny",
    "train.batch_size=8",
]
_SMALL += ["diffusion.num_timesteps=50", "diffusion.sampling_steps=4", "train.warmup_images=64"]


def compose_all(*, smoke: bool) -> dict[str, Any]:
    """The settings of NAMED as plain values; small ones for `smoke`."""
    return {name: compose([*overrides, *(_SMALL if smoke else [])]) for name, overrides in NAMED.items()}


@dataclass
class World:
    """device: where the work is done; out: where results go; work: where data is prepared; ends: of all parts (perf_counter)."""

    device: torch.device
    settings: dict[str, Any]
    out: Path
    work: Path
    raw: Path | None
    smoke: bool
    ends: float
    results: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)  # what one part leaves for another
    part_ends: float = 0.0

    def config(self, name: str) -> Config:
        return from_dict(self.settings[name])

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    def left(self) -> float:
        """Seconds that this part may still take."""
        return min(self.ends, self.part_ends) - time.perf_counter()

    def wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()


def median_ms(world: World, work: Callable[[], object], seconds: float, warm: int = 5) -> dict[str, float]:
    """ms: of one call, many in a row; host_ms: until the host has issued one call to an idle device."""
    for _ in range(1 if world.smoke else warm):
        work()
    world.wait()
    started = time.perf_counter()
    work()
    host = time.perf_counter() - started
    world.wait()
    count = 2 if world.smoke else max(10, int(seconds / max(1e-6, time.perf_counter() - started)))
    started = time.perf_counter()
    for _ in range(count):
        work()
    world.wait()
    return {"ms": (time.perf_counter() - started) / count * 1e3, "host_ms": host * 1e3}


def stand_in_for_dvclive() -> None:
    """Where dvclive is not installed, something that takes the curves of `fit` and drops them."""
    try:
        import dvclive  # noqa: F401
    except ModuleNotFoundError:
        module: Any = types.ModuleType("dvclive")
        module.__spec__ = importlib.machinery.ModuleSpec("dvclive", None)  # for those who ask whether it is installed
        nothing = {name: lambda self, *args, **kwargs: None for name in ("__init__", "log_metric", "sync", "end")}
        module.Live = type("Live", (), nothing)
        sys.modules["dvclive"] = module
