"""How a training object is made into another one: mirrored, stretched, recoloured, the same in all its views."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from soda.data.rendering.mesh import Mesh, recolour, stretch
from soda.data.sources.objects.plan import Plan, object_seed


@dataclass(frozen=True, slots=True)
class Variant:
    """What is done to an object. The default leaves it as it is."""

    factors: tuple[float, float, float] = (1.0, 1.0, 1.0)  # along x, y and z; x is below 0 when it is mirrored
    hue: float = 0.0  # degrees that every colour is turned by
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)  # of red, green and blue afterwards

    @property
    def text(self) -> str:
        """For the manifest; "" for the object as it is."""
        done = []
        if self.factors != (1.0, 1.0, 1.0):
            done.append("mirrored" if self.factors[0] < 0 else "")
            done.append("stretched " + " x ".join(f"{abs(factor):.3f}" for factor in self.factors))
        if self.hue or self.gains != (1.0, 1.0, 1.0):
            done.append(f"hue {self.hue:+.0f}, gains " + " ".join(f"{gain:.2f}" for gain in self.gains))
        return ", ".join(filter(None, done))

    def apply(self, mesh: Mesh) -> Mesh:
        """The object that it makes of a normalised mesh, normalised."""
        if self.factors != (1.0, 1.0, 1.0):
            mesh = stretch(mesh, self.factors)
        if self.hue or self.gains != (1.0, 1.0, 1.0):
            mesh = recolour(mesh, colour_matrix(self.hue, self.gains))
        return mesh


def draw_variant(plan: Plan, seed: int, name: str) -> Variant:
    """The variant of this name: mirrored or not by even chance, stretched, and recoloured with the plan's chance."""
    generator = np.random.default_rng(object_seed(seed, name, "variant"))
    x, y, z = np.exp(generator.uniform(-plan.stretch, plan.stretch, 3)).round(3).tolist()
    mirrored = generator.random() < 0.5
    changed = generator.random() < plan.recolour
    hue, gains = float(generator.uniform(-180, 180).__round__(1)), generator.uniform(0.6, 1.0, 3).round(3).tolist()
    factors = (-x if mirrored else x, y, z)
    return Variant(factors, hue, (gains[0], gains[1], gains[2])) if changed else Variant(factors)


def colour_matrix(hue: float, gains: tuple[float, float, float]) -> np.ndarray:
    """(3, 3) on RGB: a turn by `hue` degrees round the axis of greys, which keeps them, then a factor for each channel."""
    angle = math.radians(hue)
    axis = np.ones(3) / math.sqrt(3)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = math.cos(angle) * np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * np.outer(axis, axis)
    matrix: np.ndarray = np.asarray(gains)[:, None] * turn
    return matrix
