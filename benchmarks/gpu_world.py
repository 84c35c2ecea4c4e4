"""What the parts of `benchmarks.gpu` share: device, settings, folders, the time left, and the data."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from soda.config import Config, compose, from_dict
from soda.data.prepare import prepare
from soda.data.sources import get_source

_GPU = ["train=paper", "train.lr=0.001", "train.encoder_lr_factor=1", "train.warmup_images=25600", "train.ema_decay=0.9995"]
_VIEWS = """experiment=random_objects dataset.image_size=64 model.encoder_width=64 model.channels=96 model.channel_mult=[1,2,3,3]
    model.head_dim=32 model.latent_dim=320"""
NAMED: dict[str, list[str]] = {
    "tiny": [],
    "cifar": ["model=cifar", "train=paper"],
    "paper views": ["model=cifar", "train=paper", "views=paper"],
    "imagenet": ["model=imagenet", "train=paper", "dataset.image_size=64", "dataset.channels=3"],
    "fashion": ["model=cifar", *_GPU],
    "views": [*_VIEWS.split(), *_GPU],
}
"""Overrides of conf/: the presets whose speed is measured, and the two trainings."""
_SMALL = """dataset.image_size=16 model.encoder_width=8 model.channels=8 model.channel_mult=[1,2] model.head_dim=8
    model.blocks_per_level=1 model.latent_dim=12 model.time_dim=16 model.attention_levels=[] model.encoder=tiny train.batch_size=8
    diffusion.num_timesteps=50 diffusion.sampling_steps=4 dataset.workers=1 train.warmup_images=64"""
_PLAN = {"views": 24, "variants": 0, "variant_views": 2, "elevation": [0, 85], "distance": [2.65, 2.95], "field_of_view": 45}
_PLAN |= {"min_cover": 0.02, "stretch": 0.25, "recolour": 0.7, "objects": 2000}


def compose_all(*, smoke: bool) -> dict[str, Any]:
    """The settings of NAMED as plain values; small ones for `smoke`."""
    if not smoke:
        return {name: compose(overrides) for name, overrides in NAMED.items()}
    grey = ["dataset=random_objects", "dataset.channels=1"]
    coloured = {"imagenet": grey[:1], "views": []}
    return {name: compose([*overrides, *_SMALL.split(), *coloured.get(name, grey)]) for name, overrides in NAMED.items()}


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


def graph_of(work: Callable[[], object], warm: int = 3) -> torch.cuda.CUDAGraph:
    """What `work` does on the GPU as one graph, after some calls of it to warm up."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(warm):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph


@contextlib.contextmanager
def tf32_allowed(allowed: bool) -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


# --- data


def prepare_data(world: World) -> None:
    """Fashion-MNIST at 32 px, and 2,000 objects of 24 views; for the smoke run a few objects in both places."""
    plan, objects, dataset = world.work / "plan.yaml", world.work / "objects-raw", world.config("views").dataset
    plan.write_text(yaml.safe_dump(_PLAN | ({"views": 6, "objects": 40} if world.smoke else {})))
    if not (world.work / "objects").exists():
        dataset = replace(dataset, path=str(plan))
        shutil.rmtree(objects, ignore_errors=True)
        objects.mkdir(parents=True)
        get_source(dataset.name).fetch(dataset, objects, Path("nowhere"))
        prepare(dataset, objects, world.work / "objects")
    if not (world.work / "fashion").exists():
        grey = world.config("tiny").dataset
        prepare(*((replace(grey, path=str(plan)), objects) if world.smoke else (grey, world.raw)), world.work / "fashion")
