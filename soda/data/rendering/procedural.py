"""Small objects made of boxes, cylinders, cones, balls and tori, from a seed: what `random_objects` draws."""

from __future__ import annotations

import colorsys

import numpy as np

from soda.data.rendering.mesh import Mesh, join, normalise, plain_mesh

SHAPES = ("box", "cylinder", "cone", "ball", "torus")
_ROUND = 20  # corners of a circle


def shape(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """One shape within [-1, 1] along each axis: vertices (V, 3) and faces (T, 3). Raises ValueError for an unknown one."""
    if kind == "box":
        corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
        quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
        return corners, np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    profiles = {  # (radius, height) of what is turned about z, from below
        "cylinder": [(0, -1), (1, -1), (1, 1), (0, 1)],
        "cone": [(0, -1), (1, -1), (0, 1)],
        "ball": [(np.cos(a), np.sin(a)) for a in np.linspace(-np.pi / 2, np.pi / 2, 9)],
        "torus": [(0.7 + 0.3 * np.cos(a), 0.3 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 9)],
    }
    if kind not in profiles:
        raise ValueError(f"{kind!r} is no shape; there are {', '.join(SHAPES)}")
    return _turned(np.array(profiles[kind], float))


def _turned(profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    angles = np.arange(_ROUND) * 2 * np.pi / _ROUND
    ring = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    vertices = np.concatenate([np.concatenate((radius * ring, np.full((_ROUND, 1), z)), axis=1) for radius, z in profile])
    faces = []
    for level in range(len(profile) - 1):
        for k in range(_ROUND):
            a, b = level * _ROUND + k, level * _ROUND + (k + 1) % _ROUND
            faces += [(a, b, b + _ROUND), (a, b + _ROUND, a + _ROUND)]
    return vertices, np.array(faces)


def random_object(generator: np.random.Generator) -> tuple[Mesh, dict[str, str]]:
    """A normalised mesh of two to five parts in colours of their own, and what is known of it: shape and colour of the body.

    The body is largest and in the middle, the others stick out of it, so that no two sides look the same.
    """
    parts, facts = [], {}
    for number in range(int(generator.integers(2, 6))):
        kind = SHAPES[int(generator.integers(len(SHAPES)))]
        hue = int(generator.integers(8))
        colour = colorsys.hsv_to_rgb(hue / 8, generator.uniform(0.45, 0.9), generator.uniform(0.6, 0.95))
        vertices, faces = shape(kind)
        if number == 0:
            facts = {"shape": kind, "hue": f"{hue * 45}"}
            vertices = vertices * generator.uniform(0.5, 1.0, 3)
        else:
            direction = generator.normal(size=3)
            vertices = vertices * generator.uniform(0.15, 0.45, 3) + 0.85 * direction / np.linalg.norm(direction)
        parts.append(plain_mesh(vertices, faces, np.zeros(len(faces), int), np.array([colour])))
    return normalise(join(parts)), facts
