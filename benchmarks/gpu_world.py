"""What the parts of `benchmarks.gpu` share: device, settings, folders, the time left, and the data, prepared by the project itself."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from soda.config import Config, compose, from_dict
from soda.data.prepare import prepare
from soda.data.sources import get_source

_GPU = ["train=paper", "train.lr=0.001", "train.encoder_lr_factor=1", "train.warmup_images=25600", "train.ema_decay=0.9995"]
_VIEWS = [
    "experiment=random_objects",
    "dataset.image_size=64",
    "model.encoder_width=64",
    "model.channels=96",
    "model.head_dim=32",
]
NAMED: dict[str, list[str]] = {
    "tiny": [],
    "cifar": ["model=cifar", "train=paper"],
    "paper views": ["model=cifar", "train=paper", "views=paper"],
    "imagenet": ["model=imagenet", "train=paper", "dataset.image_size=64", "dataset.channels=3"],
    "fashion": ["model=cifar", *_GPU],
    "views": [*_VIEWS, "model.channel_mult=[1,2,3,3]", "model.latent_dim=320", *_GPU],
}
"""Overrides of conf/: the presets whose speed is measured, and the two trainings."""
_SMALL = """dataset.image_size=16 model.encoder_width=8 model.channels=8 model.channel_mult=[1,2] model.head_dim=8
    model.blocks_per_level=1 model.latent_dim=12 model.time_dim=16 model.attention_levels=[] model.encoder=tiny train.batch_size=8
    diffusion.num_timesteps=50 diffusion.sampling_steps=4 train.warmup_images=64""".split()
_PLAN = {"views": 24, "variants": 0, "variant_views": 2, "elevation": [0, 85], "distance": [2.65, 2.95], "field_of_view": 45}
_PLAN |= {"min_cover": 0.02, "stretch": 0.25, "recolour": 0.7, "objects": 2000}


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
    raw: Path
    smoke: bool
    ends: float
    results: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)  # what one part leaves for another
    part_ends: float = 0.0

    def config(self, name: str, **train: Any) -> Config:
        """Named settings, those of training changed."""
        config = from_dict(self.settings[name])
        return replace(config, train=replace(config.train, **train))

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
    count = 1 if world.smoke else max(10, int(seconds / max(1e-6, time.perf_counter() - started)))
    started = time.perf_counter()
    for _ in range(count):
        work()
    world.wait()
    return {"ms": (time.perf_counter() - started) / count * 1e3, "host_ms": host * 1e3}


@contextlib.contextmanager
def tf32_allowed(allowed: bool) -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


# --- data


def prepare_fashion(world: World) -> None:
    """Fashion-MNIST's files to 32 px; for the smoke run ten kinds of stripes under their names."""
    dataset, raw = world.config("tiny").dataset, world.raw
    if world.smoke:
        raw, listed = world.work / "raw", world.work / "sums.md5"
        _write_stripes(raw, listed)
        dataset = replace(dataset, path=str(listed), workers=1)
    prepare(dataset, raw, world.work / "fashion")


def prepare_objects(world: World) -> None:
    """Make and render objects: 2,000 of 24 views, a few for the smoke run."""
    plan, raw = world.work / "plan.yaml", world.work / "objects-raw"
    plan.write_text(yaml.safe_dump(_PLAN | ({"views": 6, "objects": 30} if world.smoke else {})))
    dataset = replace(world.config("views").dataset, path=str(plan), workers=1 if world.smoke else 12)
    shutil.rmtree(raw, ignore_errors=True)
    raw.mkdir(parents=True)
    get_source(dataset.name).fetch(dataset, raw, Path("nowhere"))
    prepare(dataset, raw, world.work / "objects")


def _write_stripes(raw: Path, listed: Path) -> None:
    raw.mkdir(parents=True, exist_ok=True)
    generator, sums = np.random.default_rng(0), []
    for name, count in (("train", 200), ("t10k", 40)):
        labels = np.arange(count) % 10
        period = 2 + labels[:, None, None]
        images = generator.integers(0, 60, (count, 28, 28)) + 19 * labels[:, None, None] * (np.arange(28) % period == 0)
        for kind, values, magic in (("images-idx3", images, 0x0803), ("labels-idx1", labels, 0x0801)):
            file = raw / f"{name}-{kind}-ubyte"
            file.write_bytes(np.array([magic, *values.shape], ">u4").tobytes() + values.astype(np.uint8).tobytes())
            sums.append(f"{hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()}  {file.name}")
    listed.write_text("\n".join(sums))
