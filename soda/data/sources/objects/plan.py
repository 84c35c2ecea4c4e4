"""What `dataset.path` says of a source of meshes: how many views, from where, and how the training objects are varied."""

from __future__ import annotations

import hashlib
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from soda.config.validated import CountOrZero, Number, Share, Whole, check, settings
from soda.geometry.cameras import Camera, camera, focal_length, upper_half_sphere

AtLeastTwo = Annotated[Whole, Field(ge=2)]


@settings("")
class Plan:
    """The keys that every such file has; a source adds its own."""

    views: AtLeastTwo  # cameras an object
    variants: CountOrZero  # further objects made of each training object
    variant_views: AtLeastTwo  # cameras of each of these
    elevation: tuple[Number, Number]  # degrees
    distance: tuple[Number, Number]  # of the camera; the object is within the unit sphere
    field_of_view: Annotated[Number, Field(ge=1, le=150)]  # degrees
    min_cover: Share  # of the picture; a view that shows less of the object is left out
    stretch: Share  # a variant's axes are multiplied by exp(-stretch .. stretch)
    recolour: Share  # of the variants; these have other colours

    @model_validator(mode="after")
    def _lower_first(self) -> Plan:
        (low, high), (near, far) = self.elevation, self.distance
        check(-90 <= low < high <= 90, "elevation", self.elevation, "two angles in degrees, the lower first")
        check(1 < near <= far, "distance", self.distance, "two distances above 1, the nearer first")
        return self

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
