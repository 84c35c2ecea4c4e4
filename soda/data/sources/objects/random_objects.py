"""Random objects of boxes, cylinders, cones, balls and tori, drawn in NumPy: views to train on without OpenGL or a download.

`dataset.path` is a YAML file: how many objects, and what every source of meshes is told (plan.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from soda.config import DatasetConfig
from soda.config.validated import Count, settings
from soda.data.rendering.mesh import pack
from soda.data.rendering.procedural import random_object
from soda.data.sources.base import Opened, read_described
from soda.data.sources.objects.plan import Plan, object_seed
from soda.data.sources.objects.stored import COLUMNS, Objects, Stored, write_objects
from soda.data.sources.places import made_with

__all__ = ["COLUMNS", "LICENCE", "fetch", "opened", "origin"]

LICENCE = "CC0-1.0: drawn from random numbers"
_OWN = ("shape", "hue")  # of the body


@settings("")
class RandomPlan(Plan):
    """What `dataset.path` says."""

    objects: Count


def _plan(config: DatasetConfig) -> RandomPlan:
    return read_described(Path(config.path), RandomPlan)


def origin(config: DatasetConfig) -> str:
    return f"{_plan(config).objects} objects from random numbers, seed {config.seed}"


def fetch(config: DatasetConfig, raw: Path, earlier: Path) -> dict[str, Any]:
    """Make the objects of seeds 0, 1 ... Raises SourceError for a plan that is wrong."""
    wanted = _plan(config).objects

    def made() -> Iterator[Stored]:
        for number in range(wanted):
            name = f"random-{number:05d}"
            mesh, facts = random_object(np.random.default_rng(object_seed(config.seed, name, "object")))
            yield Stored(name, name, "", "CC0-1.0", name, pack(mesh), facts)

    total = write_objects(raw, made(), _OWN, made_with(config, "seed"))
    return {"objects": total, "bytes": sum(path.stat().st_size for path in raw.iterdir())}


def opened(config: DatasetConfig, raw: Path) -> Opened:
    """Every view. Raises SourceError when `raw` is not what `fetch` wrote."""
    return Objects(raw, made_with(config, "seed")).opened(config, _plan(config), "numpy")
