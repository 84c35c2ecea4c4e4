"""A triangle mesh with flat colours and textures, how it is centred, transformed and stored, and the lamps it is seen by."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from soda.common.errors import SodaError

AMBIENT = 0.5
LAMPS = (
    (np.array([0.48, -0.60, 0.64]), 0.45),
    (np.array([-0.60, 0.48, 0.64]), 0.25),
)
"""(unit direction towards it, strength): with the ambient light no side is black, and none but white is white."""
BLACK = 0.08  # what the blackest surface reflects: its sides can then still be told apart
_ARRAYS = ("vertices", "faces", "material", "colours", "uv", "texture")
LEAST_ALPHA = 0.02  # below it a surface is not there


class MeshError(SodaError, ValueError):
    """A mesh that cannot be read, is empty or holds numbers that are not finite; the message says why."""


@dataclass(frozen=True)
class Mesh:
    """vertices (V, 3) float32, world; faces (T, 3) int32; material (T,) int32; colours (M, 4) float32 RGBA in [0, 1].

    uv (V, 2) float32, (0, 0) at a texture's lower left; texture (M,) int32, index into textures or -1. A textured material
    shows its texture, and of its colour the alpha alone: files often say black beside a texture.
    """

    vertices: np.ndarray
    faces: np.ndarray
    material: np.ndarray
    colours: np.ndarray
    uv: np.ndarray
    texture: np.ndarray
    textures: tuple[np.ndarray, ...] = field(default=())  # (H, W, 4) uint8 each, upper row first

    @property
    def corners(self) -> np.ndarray:
        """(T, 3, 3): the corners of each triangle."""
        return self.vertices[self.faces]

    @property
    def normals(self) -> np.ndarray:
        """(T, 3): unit normals by the order of the corners; 0 for a triangle without area."""
        a, b, c = self.corners.astype(np.float64).swapaxes(0, 1)
        normal = np.cross(b - a, c - a)
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        return np.where(length > 1e-12, normal / np.maximum(length, 1e-12), 0.0)


def plain_mesh(vertices: np.ndarray, faces: np.ndarray, material: np.ndarray, colours: np.ndarray) -> Mesh:
    """A mesh without textures; colours (M, 3) or (M, 4)."""
    colours = np.asarray(colours, np.float32)
    if colours.shape[1] == 3:
        colours = np.concatenate((colours, np.ones((len(colours), 1), np.float32)), axis=1)
    return Mesh(
        np.asarray(vertices, np.float32),
        np.asarray(faces, np.int32),
        np.asarray(material, np.int32),
        colours,
        np.zeros((len(vertices), 2), np.float32),
        np.full(len(colours), -1, np.int32),
    )


def join(meshes: list[Mesh]) -> Mesh:
    """Several meshes without textures as one."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    shades = np.cumsum([0, *(len(mesh.colours) for mesh in meshes)])
    return plain_mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts[:-1], strict=True)]),
        np.concatenate([mesh.material + shade for mesh, shade in zip(meshes, shades[:-1], strict=True)]),
        np.concatenate([mesh.colours for mesh in meshes]),
    )


def normalise(mesh: Mesh) -> Mesh:
    """Centred (its bounding box) and scaled so that the farthest vertex in use is on the unit sphere. Raises MeshError."""
    if not len(mesh.faces):
        raise MeshError("it is empty: it has no triangle")
    used = mesh.vertices[np.unique(mesh.faces)].astype(np.float64)
    if not np.isfinite(used).all():
        raise MeshError("it has vertices that are not finite")
    centre = (used.min(0) + used.max(0)) / 2
    radius = float(np.linalg.norm(used - centre, axis=1).max())
    if radius < 1e-9:
        raise MeshError("all its vertices are in one place")
    return replace(mesh, vertices=((mesh.vertices - centre) / radius).astype(np.float32))


def stretch(mesh: Mesh, factors: tuple[float, float, float]) -> Mesh:
    """The object stretched along its axes, a factor below 0 mirroring it, then centred and scaled again."""
    return normalise(replace(mesh, vertices=mesh.vertices * np.asarray(factors, np.float32)))


def recolour(mesh: Mesh, matrix: np.ndarray) -> Mesh:
    """Every colour, and every pixel of every texture, through `matrix` (3, 3) on RGB, clipped to [0, 1]."""
    colours = mesh.colours.copy()
    colours[:, :3] = np.clip(colours[:, :3] @ matrix.T, 0, 1)
    textures = []
    for texture in mesh.textures:
        rgb = np.clip(texture[..., :3] @ matrix.T.astype(np.float32), 0, 255)
        textures.append(np.concatenate((np.rint(rgb).astype(np.uint8), texture[..., 3:]), axis=-1))
    return replace(mesh, colours=colours, textures=tuple(textures))


def light(normals: np.ndarray) -> np.ndarray:
    """How bright a surface is, its unit normals (n, 3) on the side that is seen: (n,), from AMBIENT up."""
    bright = np.full(len(normals), AMBIENT)
    for direction, strength in LAMPS:
        bright += strength * np.maximum(normals @ direction, 0.0)
    return bright


def pack(mesh: Mesh) -> bytes:
    """The mesh as the bytes of an .npz file, the same for the same mesh."""
    buffer = io.BytesIO()
    arrays = {name: getattr(mesh, name) for name in _ARRAYS}
    arrays |= {f"texture_{k}": texture for k, texture in enumerate(mesh.textures)}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(name + ".npy")  # its time is 1980, always
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.getvalue())
    return buffer.getvalue()


def unpack(data: bytes) -> Mesh:
    """What `pack` packed. Raises MeshError when it is damaged."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            count = sum(name.startswith("texture_") for name in arrays.files)
            parts: dict[str, Any] = {name: arrays[name] for name in _ARRAYS}
            return Mesh(**parts, textures=tuple(arrays[f"texture_{k}"] for k in range(count)))
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise MeshError(f"cannot be read ({error})") from None
