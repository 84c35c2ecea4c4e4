"""What `dataset.path` says of a source of meshes: how many views, from where, and how the training objects are varied."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from soda.data.sources.base import SourceError
from soda.geometry.cameras import Camera, camera, focal_length, upper_half_sphere


@dataclass(frozen=True)
class Plan:
    """The keys that every such file has."""

    views: int  # cameras an object
    variants: int  # further objects made of each training object
    variant_views: int  # cameras of each of these
    elevation: tuple[float, float]  # degrees
    distance: tuple[float, float]  # of the camera; the object is within the unit sphere
    field_of_view: float  # degrees
    min_cover: float  # share of the picture below which a view shows too little of the object and is left out
    stretch: float  # a variant's axes are multiplied by exp(-stretch .. stretch)
    recolour: float  # share of the variants whose colours are changed

    def __post_init__(self) -> None:
        for key, least in (("views", 2), ("variants", 0), ("variant_views", 2)):
            _check(key, getattr(self, key), getattr(self, key) >= least, f"{least} or more")
        low, high = self.elevation
        _check("elevation", self.elevation, -90 <= low < high <= 90, "two angles in degrees, the lower first")
        _check("distance", self.distance, 1.0 < self.distance[0] <= self.distance[1], "two distances above 1, the nearer first")
        _check("field_of_view", self.field_of_view, 1 <= self.field_of_view <= 150, "1 to 150 degrees")
        for key in ("min_cover", "recolour"):
            _check(key, getattr(self, key), 0 <= getattr(self, key) <= 1, "a share from 0 to 1")
        _check("stretch", self.stretch, 0 <= self.stretch <= 1, "a number from 0 to 1")

    def cameras(self, seed: int, name: str, count: int) -> list[Camera]:
        """The cameras of one object: the same for the same seed and name, and for a greater count the same first ones."""
        generator = np.random.default_rng(object_seed(seed, name, "cameras"))
        focal = focal_length(self.field_of_view)
        return [
            camera(upper_half_sphere(1, generator, elevation=self.elevation, distance=self.distance)[0], focal)
            for _ in range(count)
        ]


def object_seed(*parts: object) -> int:
    """A 64-bit seed from what it depends on. Other bytes than soda.common.seeds has: what was drawn from it must not change."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big")


def _check(key: str, value: object, ok: bool, wants: str) -> None:
    if not ok:
        raise SourceError(f"{key}: {value!r} is not possible; it wants {wants}")


def read_plan(path: Path, others: dict[str, type]) -> tuple[Plan, dict[str, Any]]:
    """The plan, and the values of the keys `others` that a source has beyond it. Raises SourceError naming file and key."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SourceError(f"dataset.path: {path} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise SourceError(f"dataset.path: {path} holds a {type(values).__name__}; it wants keys and values")
    kinds = {field.name: str(field.type) for field in dataclasses.fields(Plan)}
    unknown = sorted(set(values) - set(kinds) - set(others), key=str)
    if unknown:
        raise SourceError(f"{path}: {unknown[0]}: no such key; known here: {', '.join((*kinds, *others))}")
    for key in (*kinds, *others):
        value, kind = values.get(key), kinds.get(key, "")
        if kind.startswith("tuple"):
            good = isinstance(value, list) and len(value) == 2 and all(_is_number(item) for item in value)
        elif key in others:
            good = isinstance(value, others[key]) and bool(value)
        else:
            good = _is_number(value) and (kind == "float" or isinstance(value, int))
        if not good:
            wants = others[key].__name__ if key in others else "pair of numbers" if kind.startswith("tuple") else kind
            raise SourceError(f"{path}: {key} is {value!r}; it wants a {wants}")
    found: dict[str, Any] = {key: tuple(values[key]) if isinstance(values[key], list) else values[key] for key in kinds}
    try:
        plan = Plan(**found)
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from None
    return plan, {key: values[key] for key in others}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
