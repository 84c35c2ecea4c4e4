"""Reading Wavefront OBJ files with their materials: what a mesh looks like, not all that the format can say."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from soda.data.rendering.mesh import Mesh, MeshError

Read = Callable[[str], bytes | None]  # a file beside the mesh by name; None when there is none
TEXTURE_SIDE = 256  # px; a larger texture is made smaller
GREY = (0.7, 0.7, 0.7, 1.0)  # of what names no material, or one that is nowhere described


@dataclass
class Material:
    colour: tuple[float, float, float, float] = GREY
    texture: str = ""


def read_obj(text: str, read: Read) -> Mesh:
    """Polygons become fans of triangles; lines and points are left out. `read` gives material libraries and textures.

    Raises MeshError for numbers that are none, corners that do not exist, and when there is no face.
    """
    places: list[list[float]] = []
    uvs: list[list[float]] = []
    corners: list[tuple[int, int]] = []  # (place, uv or -1), three a triangle
    used: list[int] = []
    names: dict[str, int] = {}
    materials: dict[str, Material] = {}
    current = names.setdefault("", 0)
    for number, line in enumerate(text.splitlines(), 1):
        word, rest = _words(line)
        try:
            if word == "v":
                x, y, z = rest.split()[:3]
                places.append([float(x), float(y), float(z)])
            elif word == "vt":
                u, v = rest.split()[:2]
                uvs.append([float(u), float(v)])
            elif word == "f":
                face = [_corner(token, len(places), len(uvs)) for token in rest.split()]
                for k in range(1, len(face) - 1):
                    corners += (face[0], face[k], face[k + 1])
                    used.append(current)
            elif word == "usemtl":
                current = names.setdefault(rest.strip(), len(names))
            elif word == "mtllib":
                materials |= read_mtl((read(rest.strip()) or b"").decode("latin-1"))
        except (ValueError, IndexError) as error:
            raise MeshError(f"line {number}: {line[:60]!r} cannot be read ({error})") from None
    if not corners:
        raise MeshError("it is empty: it has no face")
    return _mesh(places, uvs, corners, used, [materials.get(name, Material()) for name in names], read)


def _corner(token: str, places: int, uvs: int) -> tuple[int, int]:
    parts = token.split("/")
    place = int(parts[0])
    place = place - 1 if place > 0 else places + place
    uv = int(parts[1]) if len(parts) > 1 and parts[1] else 0
    uv = uv - 1 if uv >= 0 else uvs + uv
    if not 0 <= place < places:
        raise IndexError(f"there is no vertex {parts[0]}")
    return place, uv if uv < uvs else -1


def _mesh(
    places: list[list[float]],
    uvs: list[list[float]],
    corners: list[tuple[int, int]],
    used: list[int],
    materials: list[Material],
    read: Read,
) -> Mesh:
    pairs, faces = np.unique(np.asarray(corners, np.int64), axis=0, return_inverse=True)
    points = np.asarray(places, np.float64)
    # The last is that of corners without.
    flat = np.asarray([uv if len(uv) == 2 else [*uv, 0.0] for uv in uvs] + [[0.0, 0.0]], np.float32)
    textures: list[np.ndarray] = []
    found: dict[str, int] = {}
    texture = []
    for material in materials:
        if material.texture and material.texture not in found:
            pixels = _texture(read(material.texture))
            found[material.texture] = -1 if pixels is None else len(textures)
            if pixels is not None:
                textures.append(pixels)
        texture.append(found.get(material.texture, -1) if material.texture else -1)
    return Mesh(
        points[pairs[:, 0]].astype(np.float32),
        faces.reshape(-1, 3).astype(np.int32),
        np.asarray(used, np.int32),
        np.asarray([material.colour for material in materials], np.float32),
        flat[pairs[:, 1]],
        np.asarray(texture, np.int32),
        tuple(textures),
    )


def _words(line: str) -> tuple[str, str]:
    """The keyword of a line and what follows it, after spaces or tabs."""
    word, _, rest = line.strip().replace("\t", " ").partition(" ")
    return word, rest.strip()


def read_mtl(text: str) -> dict[str, Material]:
    """Diffuse colour, opacity and diffuse texture of each material; the rest is of no use here."""
    materials: dict[str, Material] = {}
    current = Material()
    for line in text.splitlines():
        word, rest = _words(line)
        try:
            if word == "newmtl":
                current = materials.setdefault(rest, Material())
            elif word == "Kd":
                red, green, blue = (min(1.0, max(0.0, float(x))) for x in rest.split()[:3])
                current.colour = (red, green, blue, current.colour[3])
            elif word == "d":
                current.colour = (*current.colour[:3], min(1.0, max(0.0, float(rest.split()[-1]))))
            elif word == "map_Kd" and rest:
                current.texture = posixpath.basename(rest.replace("\\", "/"))
        except (ValueError, IndexError):
            continue  # one odd line of a material is no reason to lose the object
    return materials


def _texture(data: bytes | None) -> np.ndarray | None:
    """(H, W, 4) uint8 within TEXTURE_SIDE; None when it is missing or no picture."""
    if data is None:
        return None
    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = opened.convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if max(image.size) > TEXTURE_SIDE:
        scale = TEXTURE_SIDE / max(image.size)
        image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BOX)
    return np.asarray(image)
