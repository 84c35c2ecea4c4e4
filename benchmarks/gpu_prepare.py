"""Data for `benchmarks.gpu`, by the project's own preparation: Fashion-MNIST, random objects, and noise for the smoke run."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from benchmarks.gpu_world import World
from soda.data.prepare import prepare
from soda.data.sources import get_source

PLAN = {
    "views": 24,
    "variants": 0,
    "variant_views": 2,
    "elevation": [0, 85],
    "distance": [2.65, 2.95],
    "field_of_view": 45,
    "min_cover": 0.02,
    "stretch": 0.25,
    "recolour": 0.7,
}
OBJECTS = 2000


def prepare_fashion(world: World) -> None:
    """The raw files to 32 px, as the pipeline does."""
    assert world.raw is not None, "no Fashion-MNIST: --raw"
    prepare(world.config("tiny").dataset, world.raw, world.work / "fashion")


def prepare_objects(world: World) -> None:
    """Make and render the objects: OBJECTS of 24 views, a few for the smoke run."""
    plan, raw = world.work / "plan.yaml", world.work / "objects-raw"
    views = {"views": 6} if world.smoke else {}
    plan.write_text(yaml.safe_dump({**PLAN, **views, "objects": 30 if world.smoke else OBJECTS}))
    dataset = replace(world.config("views").dataset, path=str(plan), workers=1 if world.smoke else 12)
    shutil.rmtree(raw, ignore_errors=True)
    raw.mkdir(parents=True)
    get_source(dataset.name).fetch(dataset, raw, Path("nowhere"))
    prepare(dataset, raw, world.work / "objects")


def smoke_fashion(world: World) -> None:
    """Ten kinds of stripes under the names of Fashion-MNIST's files."""
    raw, generator = world.work / "raw", np.random.default_rng(0)
    raw.mkdir(parents=True, exist_ok=True)
    sums: list[str] = []
    for name, count in (("train", 400), ("t10k", 60)):
        labels = np.arange(count) % 10
        period = 2 + labels[:, None, None]
        pictures = generator.integers(0, 60, (count, 28, 28)) + 19 * labels[:, None, None] * (np.arange(28) % period == 0)
        for kind, values, magic in (("images-idx3", pictures, 0x0803), ("labels-idx1", labels, 0x0801)):
            head = np.array([magic, *values.shape], ">u4").tobytes()
            file = raw / f"{name}-{kind}-ubyte"
            file.write_bytes(head + values.astype(np.uint8).tobytes())
            sums.append(f"{hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()}  {file.name}")
    listed = world.work / "sums.md5"
    listed.write_text("\n".join(sums))
    prepare(replace(world.config("tiny").dataset, path=str(listed), workers=1), raw, world.work / "fashion")
