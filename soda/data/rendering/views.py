"""One antialiased picture of a mesh on white, drawn by either renderer, and the share of it that the object covers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from soda.data.rendering import raster
from soda.data.rendering.mesh import Mesh, MeshError
from soda.geometry.cameras import Camera

FINER = 4  # rays a pixel along each side
Draw = Callable[[Camera, int], np.ndarray]  # RGBA (size, size, 4) in [0, 1], RGB multiplied by alpha


def drawer(mesh: Mesh, renderer: str) -> Draw:
    """What draws `mesh`: "numpy" or "opengl". Raises MeshError for a mesh that cannot be drawn, RenderError without OpenGL."""
    if renderer == "numpy":
        if mesh.textures:
            raise MeshError("the NumPy renderer draws no textures")
        return lambda seen_by, size: raster.render(mesh, seen_by, size)[0]
    from soda.data.rendering.gl import gl_renderer

    return gl_renderer().load(mesh).render


def picture(draw: Draw, seen_by: Camera, size: int) -> tuple[np.ndarray, float]:
    """RGB (size, size, 3) uint8 on white, each pixel the mean of FINER x FINER; and the share of these that show the object."""
    fine = draw(seen_by, size * FINER)
    rgba = fine.reshape(size, FINER, size, FINER, 4).mean((1, 3))
    rgb = rgba[..., :3] + 1 - rgba[..., 3:]
    return np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8), float((fine[..., 3] > 0).mean())
