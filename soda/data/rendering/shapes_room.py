"""A room with one object in it, by ray casting in NumPy: what `shapes3d_like` is drawn from. Needs no OpenGL.

The colours of floor, walls and object multiply what falls on them and never mix, so that one casting of a geometry (shape, scale,
orientation) serves all colours: an image is the sum of three maps, each times its colour.
"""

from __future__ import annotations

import colorsys
from functools import lru_cache

import numpy as np

SHAPES = ("cube", "cylinder", "sphere", "capsule")
HUES = 10
SCALES = np.linspace(0.75, 1.25, 8)
ORIENTATIONS = np.linspace(-30, 30, 15)  # degrees, of the camera about the object

FINER = 3  # rays a pixel along each side
_RADIUS = 1.0  # of the object at scale 1; it stands on the floor
_ROOM = 4.2  # from the middle to each of the two walls, whose corner is straight ahead at orientation 0
_DISTANCE, _HEIGHT, _LOOKS_AT, _FIELD = 5.2, 2.7, 0.95, 48.0  # of the camera; the last in degrees
_AMBIENT = 0.38
_LAMP = np.array([-2.0, -3.2, 5.5])
_LAMP_SPREAD = 0.9  # half the width of the lamp, for soft edges of the shadow
_SHADOW_RAYS = 4  # along each side of the lamp
_FAR = 1e9

Hit = tuple[np.ndarray, np.ndarray]
"""Of n rays, the distances (n,) and the normals (n, 3) there."""


def room(shape: int, scale: int, orientation: int, hues: tuple[int, int, int], size: int) -> np.ndarray:
    """An image of (size, size, 3) uint8. hues: of floor, wall and object, each 0 .. HUES - 1; the rest count from 0, too."""
    colours = np.array([colorsys.hsv_to_rgb(hue / HUES, 0.85, 0.95) for hue in hues], np.float32)
    rgb = maps(shape, scale, orientation, size) @ colours
    return (np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8)


@lru_cache(maxsize=len(SHAPES) * len(SCALES) * len(ORIENTATIONS))
def maps(shape: int, scale: int, orientation: int, size: int) -> np.ndarray:
    """How much light of floor, wall and object comes to each pixel: (size, size, 3) float32, the mean of FINER x FINER rays."""
    eye, rays = _camera(np.radians(ORIENTATIONS[orientation]), size * FINER)
    radius = _RADIUS * SCALES[scale]
    distance, normal = _hit(SHAPES[shape], radius, eye, rays)
    light = np.zeros((len(rays), 3), np.float32)
    on_object = distance < _FAR
    seen = eye + rays[on_object] * distance[on_object, None]
    light[on_object, 2] = _AMBIENT + (1 - _AMBIENT) * _lambert(seen, normal[on_object])
    rest = np.flatnonzero(~on_object)
    place, facing, part = _walls(eye, rays[rest])
    lit = _lambert(place, facing) * _unshadowed(SHAPES[shape], radius, place)
    light[rest, part] = _AMBIENT + (1 - _AMBIENT) * lit
    return light.reshape(size, FINER, size, FINER, 3).mean((1, 3))


def _camera(turn: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(place (3,), directions (count * count, 3) of length 1), row by row from the upper left."""
    eye = np.array([_DISTANCE * np.sin(turn), -_DISTANCE * np.cos(turn), _HEIGHT])
    forward = np.array([0, 0, _LOOKS_AT]) - eye
    forward /= np.linalg.norm(forward)
    right = np.array([np.cos(turn), np.sin(turn), 0.0])
    down = np.cross(forward, right)
    across = ((np.arange(count) + 0.5) / count * 2 - 1) * np.tan(np.radians(_FIELD / 2))
    rays = forward + across[None, :, None] * right + across[:, None, None] * down
    return eye, (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).reshape(-1, 3)


def _lambert(place: np.ndarray, normal: np.ndarray) -> np.ndarray:
    towards = _LAMP - place
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    return (towards * normal).sum(1).clip(0)


def _walls(eye: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where rays (n, 3) from `eye` meet floor or wall, the normal there, and which it is (0 floor, 1 wall)."""
    half = np.sqrt(0.5)
    normals = np.array([[0, 0, 1], [half, -half, 0], [-half, -half, 0]])  # the walls are turned by 45 degrees
    heights = np.array([0.0, -_ROOM, -_ROOM])
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (heights - normals @ eye) / (rays @ normals.T)  # (n, 3)
    along = np.where(along > 1e-6, along, _FAR)
    first = along.argmin(1)
    place = eye + rays * along.min(1)[:, None]
    return place, normals[first], (first > 0).astype(np.int64)


def _unshadowed(shape: str, radius: float, place: np.ndarray) -> np.ndarray:
    """The share of the lamp that each place (n, 3) sees past the object: (n,) in [0, 1]."""
    near = _passes(_LAMP, place - _LAMP, radius, 1.5 * radius + _LAMP_SPREAD)
    free, asked = np.ones(len(place)), place[near]
    steps = np.linspace(-_LAMP_SPREAD, _LAMP_SPREAD, _SHADOW_RAYS)
    for x in steps:
        for y in steps:
            towards = _LAMP + np.array([x, y, 0]) - asked
            towards /= np.linalg.norm(towards, axis=1, keepdims=True)
            free[near] -= (_hit(shape, radius, asked + 1e-4 * towards, towards)[0] < _FAR) / _SHADOW_RAYS**2
    return free


def _passes(start: np.ndarray, rays: np.ndarray, radius: float, within: float) -> np.ndarray:
    """Which rays from `start` go towards the middle of the object and pass it nearer than `within`: (k,) positions."""
    away = start - (0, 0, 1.05 * radius)  # (3,) or (n, 3)
    along = (away * rays).sum(-1)
    nearest = np.square(away).sum(-1) - along**2 / np.square(rays).sum(-1)
    return np.flatnonzero((along < 0) & (nearest < within**2))


def _hit(shape: str, radius: float, start: np.ndarray, rays: np.ndarray) -> Hit:
    """Distance along rays (n, 3) to the object's surface, _FAR where they miss it, and its normal there (n, 3).

    start: (3,) or (n, 3), outside the object. Rays that pass the ball about it are not asked further.
    """
    near = _passes(start, rays, radius, 1.5 * radius)
    distance, normal = np.full(len(rays), _FAR), np.zeros(rays.shape)
    distance[near], normal[near] = _hit_shape(shape, radius, np.broadcast_to(start, rays.shape)[near], rays[near])
    return distance, normal


def _hit_shape(shape: str, radius: float, start: np.ndarray, rays: np.ndarray) -> Hit:
    """All shapes are as wide as high but the capsule, whose height is 1.5 times its width."""
    if shape == "cube":
        return _hit_cube(0.85 * radius, start, rays)
    if shape == "sphere":
        return _hit_sphere(radius, radius, start, rays)
    if shape == "cylinder":
        return _nearest(
            _hit_side(radius * 0.85, 0, 1.7 * radius, start, rays), _hit_lid(radius * 0.85, 1.7 * radius, start, rays)
        )
    width = 0.7 * radius  # capsule
    side = _hit_side(width, width, 2 * width, start, rays)
    return _nearest(side, _hit_sphere(width, width, start, rays), _hit_sphere(width, 2 * width, start, rays))


def _nearest(*hits: Hit) -> Hit:
    distances = np.stack([distance for distance, _ in hits])
    first = distances.argmin(0)
    normals = np.stack([normal for _, normal in hits])
    return distances.min(0), normals[first, np.arange(len(first))]


def _roots(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The lesser root of a t^2 + 2 b t + c where it is positive, else _FAR."""
    inside = b * b - a * c
    with np.errstate(divide="ignore", invalid="ignore"):
        root = (-b - np.sqrt(inside.clip(0))) / a
    return np.where((inside > 0) & (root > 1e-6), root, _FAR)


def _hit_sphere(radius: float, height: float, start: np.ndarray, rays: np.ndarray) -> Hit:
    away = start - np.array([0, 0, height])
    distance = _roots(np.ones(len(rays)), (away * rays).sum(-1), np.square(away).sum(-1) - radius**2)
    return distance, (away + rays * distance[:, None]) / radius


def _hit_side(radius: float, low: float, high: float, start: np.ndarray, rays: np.ndarray) -> Hit:
    """The mantle of an upright cylinder."""
    flat, at = rays[:, :2], np.broadcast_to(start, rays.shape)
    distance = _roots(np.square(flat).sum(1), (at[:, :2] * flat).sum(1), np.square(at[:, :2]).sum(1) - radius**2)
    height = at[:, 2] + rays[:, 2] * distance
    distance = np.where((height >= low) & (height <= high), distance, _FAR)
    place = at[:, :2] + flat * distance[:, None]
    return distance, np.concatenate((place / radius, np.zeros((len(rays), 1))), axis=1)


def _hit_lid(radius: float, height: float, start: np.ndarray, rays: np.ndarray) -> Hit:
    at = np.broadcast_to(start, rays.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = (height - at[:, 2]) / rays[:, 2]
    distance = np.where(np.isfinite(distance) & (distance > 1e-6), distance, _FAR)
    place = at[:, :2] + rays[:, :2] * distance[:, None]
    distance = np.where(np.square(place).sum(1) <= radius**2, distance, _FAR)
    return distance, np.broadcast_to([0.0, 0.0, 1.0], rays.shape)


def _hit_cube(half: float, start: np.ndarray, rays: np.ndarray) -> Hit:
    away = start - np.array([0, 0, half])
    with np.errstate(divide="ignore", invalid="ignore"):
        one, two = (-half - away) / rays, (half - away) / rays
    near, far = np.minimum(one, two), np.maximum(one, two)
    enters, leaves = near.max(1), far.min(1)
    distance = np.where((enters < leaves) & (enters > 1e-6), enters, _FAR)
    normal = np.zeros(rays.shape)
    rows = np.arange(len(rays))
    axis = near.argmax(1)
    normal[rows, axis] = -np.sign(rays[rows, axis])
    return distance, normal
