"""A z-buffer in NumPy: for small meshes without textures. Needs no OpenGL."""

from __future__ import annotations

import numpy as np

from soda.data.rendering.mesh import BLACK, Mesh, MeshError, light
from soda.geometry.cameras import Camera

_DEPTH_BITS = 31


def render(mesh: Mesh, seen_by: Camera, size: int) -> tuple[np.ndarray, np.ndarray]:
    """One picture without antialiasing: RGBA (size, size, 4) in [0, 1], all 0 where nothing is, and depth (size, size).

    Depth is along the camera's z, infinite where nothing is. Raises MeshError for textures, and where the mesh reaches behind
    the camera.
    """
    if mesh.textures:
        raise MeshError("the NumPy renderer draws no textures")
    pose = seen_by.matrix
    local = (mesh.vertices.astype(np.float64) - pose[:, 3]) @ pose[:, :3]
    if local[:, 2].min() < 1e-3:
        raise MeshError("it reaches behind the camera")
    screen = (local[:, :2] / local[:, 2:] * (seen_by.fx, seen_by.fy) + (seen_by.cx, seen_by.cy)) * size
    nearness = 1.0 / local[:, 2]  # linear over the screen, unlike the depth
    front = np.zeros(size * size, np.int64)  # the nearest so far: nearness above, 1 + triangle below
    scale = (2.0**_DEPTH_BITS - 1) / nearness.max()
    pixel, triangle, near = _fragments(screen[mesh.faces], nearness[mesh.faces], size)
    np.maximum.at(front, pixel, ((near * scale).astype(np.int64) << 32) | (triangle + 1))
    seen = np.flatnonzero(front)
    triangle = (front[seen] & 0xFFFFFFFF) - 1
    rgba = np.zeros((size * size, 4))
    depth = np.full(size * size, np.inf)
    normals = mesh.normals
    away = ((mesh.corners[:, 0] - pose[:, 3]) * normals).sum(1) > 0
    normals[away] *= -1  # every surface has two sides
    surface = BLACK + (1 - BLACK) * mesh.colours[mesh.material, :3]
    shaded = np.clip(surface * light(normals)[:, None], 0, 1)
    rgba[seen, :3], rgba[seen, 3] = shaded[triangle], 1.0
    depth[seen] = scale / np.maximum(front[seen] >> 32, 1)
    return rgba.reshape(size, size, 4), depth.reshape(size, size)


def _fragments(corners: np.ndarray, nearness: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(pixel, triangle, nearness) of every pixel centre that is inside a triangle; corners (T, 3, 2) in pixels.

    Row by row: the three barycentric weights are a x + b y + c, so that in a row each bounds x from one side.
    """
    following, last = corners[:, [1, 2, 0]], corners[:, [2, 0, 1]]  # the edge that is opposite to each corner
    edge = last - following
    area = edge[:, 0, 0] * edge[:, 1, 1] - edge[:, 0, 1] * edge[:, 1, 0]
    flat = np.abs(area) < 1e-12
    whole = np.where(flat, 1.0, area)[:, None]
    a, b = -edge[..., 1] / whole, edge[..., 0] / whole  # (T, 3)
    c = (following[..., 0] * last[..., 1] - following[..., 1] * last[..., 0]) / whole
    first = np.clip(np.ceil(corners[..., 1].min(1) - 0.5), 0, size).astype(np.int64)
    tall = np.clip(np.floor(corners[..., 1].max(1) - 0.5) + 1, 0, size).astype(np.int64) - first
    rows, step = _spread(np.where(flat, 0, np.maximum(tall, 0)))
    y = first[rows] + step
    rest = b[rows] * (y + 0.5)[:, None] + c[rows]  # the weights at x = 0
    slope = a[rows]
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = -rest / slope
    low = np.where(slope > 0, bound, np.where((slope == 0) & (rest < 0), np.inf, -np.inf)).max(1)
    high = np.where(slope < 0, bound, np.inf).min(1)
    start = np.clip(np.ceil(low - 0.5), 0, size).astype(np.int64)
    stop = np.clip(np.floor(high - 0.5) + 1, 0, size).astype(np.int64)
    cells, step = _spread(np.maximum(stop - start, 0))
    x = start[cells] + step
    base, gain = (rest * nearness[rows]).sum(1), (slope * nearness[rows]).sum(1)
    return y[cells] * size + x, rows[cells], base[cells] + gain[cells] * (x + 0.5)


def _spread(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Entry k of `counts` as so many entries: k, and 0 .. counts[k] - 1 beside it."""
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
