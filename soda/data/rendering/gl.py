"""Drawing on OpenGL without a screen (EGL; Mesa's llvmpipe where there is no graphics card), for meshes with textures.

The same machine draws the same bits; another processor or driver may differ in the last ones.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np

from soda.common.errors import SodaError
from soda.data.rendering.mesh import AMBIENT, BLACK, LAMPS, LEAST_ALPHA, Mesh
from soda.geometry.cameras import Camera

NEEDS = "OpenGL without a screen takes Mesa's EGL; Debian and Ubuntu: apt-get install -y libegl1 libgl1-mesa-dri"
_NEAR, _FAR = 0.05, 50.0
_OPAQUE = 0.98

_VERTEX = """
#version 330
uniform mat4 view;
in vec3 in_place; in vec2 in_uv; in vec4 in_colour;
out vec3 place; out vec2 uv; out vec4 colour;
void main() { place = in_place; uv = in_uv; colour = in_colour; gl_Position = view * vec4(in_place, 1.0); }
"""
_FRAGMENT = """
#version 330
uniform sampler2D image; uniform bool textured; uniform bool opaque; uniform vec3 eye; uniform float ambient;
uniform vec3 lamp_a; uniform vec3 lamp_b; uniform float strength_a; uniform float strength_b;
uniform float solid; uniform float least; uniform float black;
in vec3 place; in vec2 uv; in vec4 colour;
out vec4 drawn;
void main() {
    vec4 surface = colour;
    if (textured) { vec4 seen = texture(image, uv); surface = vec4(seen.rgb, seen.a * colour.a); }
    if (surface.a < least || (surface.a >= solid) != opaque) discard;
    vec3 n = normalize(cross(dFdx(place), dFdy(place)));  // of the triangle: flat, and no vertex has to carry it
    n = dot(n, place - eye) > 0.0 ? -n : n;  // every surface has two sides
    float bright = ambient + strength_a * max(dot(n, lamp_a), 0.0) + strength_b * max(dot(n, lamp_b), 0.0);
    float alpha = opaque ? 1.0 : surface.a;
    drawn = vec4(clamp((black + (1.0 - black) * surface.rgb) * bright, 0.0, 1.0) * alpha, alpha);
}
"""


class RenderError(SodaError, RuntimeError):
    """This machine cannot draw; the message says what to install."""


class Uploaded:
    """A mesh on the graphics device; `render` draws it."""

    def __init__(self, renderer: GlRenderer, mesh: Mesh) -> None:
        self._renderer = renderer
        context = renderer.context
        texture = mesh.texture[mesh.material]
        order = np.argsort(texture, kind="stable")
        # A vertex for each of its materials: far fewer than three a triangle, and they are what drawing in software costs.
        pairs, index = np.unique(
            mesh.faces[order].astype(np.int64) * len(mesh.colours) + mesh.material[order, None], return_inverse=True
        )
        vertex, material = np.divmod(pairs, len(mesh.colours))
        rows = np.concatenate((mesh.vertices[vertex], mesh.uv[vertex], mesh.colours[material]), axis=1).astype(np.float32)
        self._array = context.vertex_array(
            renderer.program,
            [(context.buffer(rows.tobytes()), "3f 2f 4f", "in_place", "in_uv", "in_colour")],
            index_buffer=context.buffer(index.astype(np.int32).tobytes()),
        )
        self._textures = [renderer.texture(pixels) for pixels in mesh.textures]
        names, first, count = np.unique(texture[order], return_index=True, return_counts=True)
        self._groups = list(zip(names.tolist(), (3 * first).tolist(), (3 * count).tolist(), strict=True))
        self._clear_parts = bool((mesh.colours[:, 3] < _OPAQUE).any() or any((t[..., 3] < 255).any() for t in mesh.textures))

    def render(self, seen_by: Camera, size: int) -> np.ndarray:
        """One picture without antialiasing: RGBA (size, size, 4) float32 in [0, 1], RGB multiplied by alpha."""
        buffer = self._renderer.drawn(self, seen_by, size)
        bytes_read = np.frombuffer(buffer.read(components=4), np.uint8)
        return bytes_read.reshape(size, size, 4).astype(np.float32) / np.float32(255)

    def depth(self, seen_by: Camera, size: int) -> np.ndarray:
        """(size, size): depth along the camera's z of what is opaque, infinite where nothing is."""
        buffer = self._renderer.drawn(self, seen_by, size)
        raw = np.frombuffer(buffer.depth_attachment.read(), np.float32).reshape(size, size).astype(np.float64)
        with np.errstate(divide="ignore"):
            return np.where(raw < 1.0, 1.0 / (1 / _NEAR - raw * (1 / _NEAR - 1 / _FAR)), np.inf)

    def draw(self, opaque: bool) -> None:
        if not opaque and not self._clear_parts:
            return
        program = self._renderer.program
        program["opaque"] = opaque
        for texture, first, count in self._groups:
            program["textured"] = texture >= 0
            if texture >= 0:
                self._textures[texture].use(0)
            self._array.render(vertices=count, first=first)


class GlRenderer:
    """An OpenGL context with its program. Make one a process: `gl_renderer`. Raises RenderError where there can be none."""

    def __init__(self) -> None:
        try:
            import moderngl
        except ImportError:
            raise RenderError("drawing these objects needs moderngl: pip install '.[objects]'") from None
        # torch's compiler and Mesa's each bring an LLVM; a process that loads Mesa's first dies when torch's comes after it.
        with suppress(ImportError):
            import triton  # noqa: F401
        try:
            settings: dict[str, Any] = {"standalone": True, "backend": "egl"}
            self.context: Any = moderngl.create_context(**settings)
        except Exception as error:  # what glcontext raises has no class of its own
            raise RenderError(f"there is no OpenGL to draw with ({error}); {NEEDS}") from None
        self.context.gc_mode = "auto"
        self.context.enable(moderngl.DEPTH_TEST | moderngl.BLEND)
        self.context.blend_func = moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA
        self.program: Any = self.context.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        (lamp_a, strength_a), (lamp_b, strength_b) = LAMPS
        for name, value in {
            "ambient": AMBIENT,
            "lamp_a": tuple(lamp_a),
            "lamp_b": tuple(lamp_b),
            "strength_a": strength_a,
            "strength_b": strength_b,
            "solid": _OPAQUE,
            "least": LEAST_ALPHA,
            "black": BLACK,
        }.items():
            self.program[name] = value
        self._buffers: dict[int, Any] = {}

    def load(self, mesh: Mesh) -> Uploaded:
        return Uploaded(self, mesh)

    def texture(self, pixels: np.ndarray) -> Any:
        """(H, W, 4) uint8, upper row first, as a texture that repeats."""
        import moderngl

        made = self.context.texture((pixels.shape[1], pixels.shape[0]), 4, np.ascontiguousarray(pixels[::-1]).tobytes())
        made.build_mipmaps()
        made.filter = moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR
        made.anisotropy = 4.0
        return made

    def drawn(self, mesh: Uploaded, seen_by: Camera, size: int) -> Any:
        """The frame buffer that the mesh was drawn into."""
        if size not in self._buffers:
            context = self.context
            self._buffers[size] = context.framebuffer([context.texture((size, size), 4)], context.depth_texture((size, size)))
        buffer = self._buffers[size]
        buffer.use()
        buffer.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
        self.program["view"].write(clip_matrix(seen_by).T.astype(np.float32).tobytes())
        self.program["eye"] = tuple(seen_by.matrix[:, 3])
        mesh.draw(opaque=True)
        buffer.depth_mask = False
        mesh.draw(opaque=False)
        buffer.depth_mask = True
        return buffer


def clip_matrix(seen_by: Camera) -> np.ndarray:
    """World to clip coordinates (4, 4). OpenGL's lowest row of pixels is v = 0, so that what is read back has its top first."""
    pose = seen_by.matrix
    to_camera = np.eye(4)
    to_camera[:3, :3] = pose[:, :3].T
    to_camera[:3, 3] = -pose[:, :3].T @ pose[:, 3]
    a, b = (_FAR + _NEAR) / (_FAR - _NEAR), -2 * _FAR * _NEAR / (_FAR - _NEAR)
    projection = np.array(
        [
            [2 * seen_by.fx, 0, 2 * seen_by.cx - 1, 0],
            [0, 2 * seen_by.fy, 2 * seen_by.cy - 1, 0],
            [0, 0, a, b],
            [0, 0, 1, 0],
        ]
    )
    return projection @ to_camera


@lru_cache(maxsize=1)
def gl_renderer() -> GlRenderer:
    """This process's renderer."""
    return GlRenderer()
