"""Both renderers: what is drawn is where the camera says, in its colour, mirrored where it should be; the rays hit its depth."""

from __future__ import annotations

import io
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from soda.data.rendering import gl, raster
from soda.data.rendering.mesh import (
    AMBIENT,
    BLACK,
    Mesh,
    MeshError,
    join,
    light,
    normalise,
    pack,
    plain_mesh,
    recolour,
    stretch,
    unpack,
)
from soda.data.rendering.obj import read_obj
from soda.data.rendering.procedural import SHAPES, random_object, shape
from soda.data.rendering.views import drawer, picture
from soda.data.sources.objects.variation import Variant, colour_matrix
from soda.geometry.cameras import Camera, camera, focal_length, orbit, project, upper_half_sphere
from soda.geometry.rays import ray_grid

FOCAL = focal_length(45)
RED, GREEN, BLUE, GREY = (0.9, 0.1, 0.1), (0.1, 0.9, 0.1), (0.1, 0.1, 0.9), (0.5, 0.5, 0.5)


def renderers() -> list[str]:
    """OpenGL too where this machine has it; elsewhere `test_without_opengl` is what there is to hold."""
    try:
        gl.gl_renderer()
    except gl.RenderError:
        return ["numpy"]
    return ["numpy", "opengl"]


def box(centre: tuple[float, float, float], side: float, colour: tuple[float, ...]) -> Mesh:
    vertices, faces = shape("box")
    return plain_mesh(vertices * side / 2 + np.array(centre), faces, np.zeros(len(faces), int), np.array([colour]))


def axes() -> Mesh:
    """A red box on +x, a green one on +y, a blue one on +z, and a grey one at the origin."""
    parts = [box((0, 0, 0), 0.2, GREY)]
    parts += [box(tuple(0.7 * np.eye(3)[k]), 0.3, colour) for k, colour in enumerate((RED, GREEN, BLUE))]
    return join(parts)


@pytest.mark.parametrize("renderer", renderers())
def test_coloured_axes_are_drawn_where_they_project(renderer: str) -> None:
    draw = drawer(axes(), renderer)
    generator = np.random.default_rng(3)
    tips = 0.7 * np.eye(3)
    for pose in upper_half_sphere(6, generator, elevation=(5, 80), distance=(2.6, 3.0)):
        seen_by = camera(pose, FOCAL)
        pixels, _ = picture(draw, seen_by, 64)
        uv, depth = project(tips, seen_by)
        hidden = [any(d < depth[k] and np.abs(uv[j] - uv[k]).max() < 0.15 for j, d in enumerate(depth)) for k in range(3)]
        for k in np.flatnonzero(~np.array(hidden)):
            column, row = (uv[k] * 64).astype(int)
            assert pixels[row, column].argmax() == k, "another colour at the tip of this axis"
            assert pixels[row, column, k] > 2 * np.delete(pixels[row, column], k).max()


@pytest.mark.parametrize("renderer", renderers())
def test_the_ray_of_every_pixel_meets_the_surface_that_was_drawn_there(renderer: str) -> None:
    """A ball: what the depth says lies on it, to half a pixel, along the ray of that pixel."""
    vertices, faces = shape("ball")
    mesh = normalise(plain_mesh(vertices, faces, np.zeros(len(faces), int), np.array([GREY])))
    seen_by = camera(orbit(25, 35, 2.8), FOCAL)
    size = 64
    depth = raster.render(mesh, seen_by, size)[1] if renderer == "numpy" else gl.gl_renderer().load(mesh).depth(seen_by, size)
    rays = ray_grid(torch.tensor([seen_by.numbers], dtype=torch.float64), size)[0].permute(1, 2, 0).numpy()
    seen = np.isfinite(depth)
    assert 0.3 < seen.mean() < 0.8
    along = depth[seen] / (rays[seen][:, 3:] @ seen_by.matrix[:, 2])  # depth is along z, the ray is not
    points = rays[seen][:, :3] + along[:, None] * rays[seen][:, 3:]
    uv, _ = project(points, seen_by)
    rows, columns = np.nonzero(seen)
    assert np.abs(uv * size - np.stack((columns + 0.5, rows + 0.5), axis=1)).max() < 0.01
    radius = np.linalg.norm(points, axis=1)
    assert radius.max() < 1.001 and radius.min() > 0.9, "not on the ball (of flat faces)"


@pytest.mark.parametrize("renderer", renderers())
def test_a_mirrored_object_is_the_mirror_picture_from_the_mirrored_place(renderer: str) -> None:
    mesh, _ = random_object(np.random.default_rng(5))
    flat = replace(mesh, colours=np.concatenate((np.ones((len(mesh.colours), 3)), mesh.colours[:, 3:]), axis=1))
    mirrored = Variant(factors=(-1.0, 1.0, 1.0)).apply(flat)
    plain, _ = picture(drawer(flat, renderer), camera(orbit(30, 20, 2.8), FOCAL), 48)
    other, _ = picture(drawer(mirrored, renderer), camera(orbit(150, 20, 2.8), FOCAL), 48)
    covered, covered_other = plain.min(2) < 250, other.min(2) < 250
    # The lamps stay where they are, so that the outline is compared, not the shading.
    assert (covered != covered_other[:, ::-1]).mean() < 0.005
    assert (covered != covered_other).mean() > 0.02, "it is symmetric: this shows nothing"


@pytest.mark.parametrize("renderer", renderers())
def test_no_side_is_black_even_of_a_black_object(renderer: str) -> None:
    mesh = normalise(box((0, 0, 0), 1, (0.0, 0.0, 0.0)))
    draw = drawer(mesh, renderer)
    shades = set()
    for azimuth in range(0, 360, 60):
        pixels, _ = picture(draw, camera(orbit(azimuth, 25, 2.8), FOCAL), 32)
        assert pixels.min() >= 255 * AMBIENT * BLACK * 0.9
        shades |= {int(p) for p in pixels.min(2).ravel() if p < 100}
    assert len(shades) >= 4, "its sides cannot be told apart"
    assert light(np.array([[0.0, 0.0, -1.0]]))[0] == AMBIENT


def test_both_renderers_draw_the_same() -> None:
    if "opengl" not in renderers():
        assert renderers() == ["numpy"]
        return
    for seed in range(4):
        mesh, _ = random_object(np.random.default_rng(seed))
        seen_by = camera(orbit(70 * seed, 30, 2.8), FOCAL)
        one, other = (picture(drawer(mesh, name), seen_by, 32)[0].astype(int) for name in ("numpy", "opengl"))
        assert np.abs(one - other).mean() < 0.5 and (np.abs(one - other) > 25).mean() < 0.01


def test_without_opengl_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import moderngl

    def broken(**settings: object) -> None:
        raise RuntimeError("libEGL.so.1: cannot open shared object file")

    monkeypatch.setattr(moderngl, "create_context", broken)
    with pytest.raises(gl.RenderError, match=r"libEGL\.so\.1.*apt-get install -y libegl1 libgl1-mesa-dri"):
        gl.GlRenderer()


def test_a_texture_is_the_right_way_up_and_shows_in_its_colours() -> None:
    """A square in the plane y = 0 whose upper half is red; its left lower quarter is green, as an OBJ says it."""
    picture_of = np.zeros((8, 8, 4), np.uint8)
    picture_of[..., 3] = 255
    picture_of[:4, :, 0] = 255
    picture_of[4:, :4, 1] = 255
    picture_of[4:, 4:, 2] = 255
    png = io.BytesIO()
    Image.fromarray(picture_of).save(png, "PNG")
    files = {"square.mtl": b"newmtl m\nKd 0 0 0\nmap_Kd C:\\art\\Square.png\n", "Square.png": png.getvalue()}
    text = "mtllib square.mtl\nv -1 0 -1\nv 1 0 -1\nv 1 0 1\nv -1 0 1\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
    text += "usemtl m\nf 1/1 2/2 3/3 -1/-1\n"
    mesh = normalise(read_obj(text, files.get))
    assert len(mesh.faces) == 2 and len(mesh.textures) == 1 and mesh.texture[mesh.material].tolist() == [0, 0]
    if "opengl" not in renderers():
        with pytest.raises(MeshError, match="draws no textures"):
            drawer(mesh, "numpy")
        return
    pixels, cover = picture(drawer(mesh, "opengl"), camera(orbit(-90, 0, 2.8), FOCAL), 32)  # from -y: x is to the right
    assert 0.2 < cover < 0.5
    assert pixels[12, 12].argmax() == pixels[12, 20].argmax() == 0, "red is above"
    assert pixels[20, 12].argmax() == 1 and pixels[20, 20].argmax() == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v 0 0 0\nv 1 0 0\n", "it is empty: it has no face"),
        ("v 0 0 0\nv 1 0\nv 0 1 0\nf 1 2 3\n", "line 2: 'v 1 0' cannot be read"),
        ("v 0 0 zero\n", "line 1: 'v 0 0 zero' cannot be read"),
        ("v 0 0 0\nf 1 2 3\n", "line 2: .*there is no vertex 2"),
        ("v 0 0 0\nvt 0.5\n", "line 2: 'vt 0.5' cannot be read"),
        ("v 0 0 0\nvt\n", "line 2: 'vt' cannot be read"),
    ],
)
def test_a_bad_obj_is_one_clear_error(text: str, message: str) -> None:
    with pytest.raises(MeshError, match=message):
        read_obj(text, lambda name: None)


def test_words_may_be_parted_by_tabs_and_corners_count_from_the_end() -> None:
    plain = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n"
    wanted = read_obj(plain, lambda name: None)
    for other in (plain.replace(" ", "\t"), plain.replace("f 1/1 2/2 3/3", "f  -3/-3   -2/-2 -1/-1")):
        found = read_obj(other, lambda name: None)
        np.testing.assert_array_equal(found.vertices, wanted.vertices)
        np.testing.assert_array_equal(found.faces, wanted.faces)


def test_meshes_without_extent_or_with_nonsense_are_refused() -> None:
    triangle = plain_mesh(np.zeros((3, 3)), np.array([[0, 1, 2]]), np.zeros(1), np.array([GREY]))
    with pytest.raises(MeshError, match="in one place"):
        normalise(triangle)
    with pytest.raises(MeshError, match="not finite"):
        normalise(replace(triangle, vertices=np.full((3, 3), np.nan, np.float32)))
    with pytest.raises(MeshError, match="no triangle"):
        normalise(replace(triangle, faces=np.empty((0, 3), np.int32)))
    with pytest.raises(MeshError, match="behind the camera"):
        raster.render(normalise(box((0, 0, 0), 1, GREY)), camera(orbit(0, 0, 0.5), FOCAL), 8)


def test_packing_is_exact_and_damage_is_named() -> None:
    mesh, _ = random_object(np.random.default_rng(0))
    mesh = replace(mesh, textures=(np.arange(64, dtype=np.uint8).reshape(4, 4, 4),))
    again = unpack(pack(mesh))
    for name in ("vertices", "faces", "material", "colours", "uv", "texture"):
        assert np.array_equal(getattr(mesh, name), getattr(again, name)), name
    assert np.array_equal(mesh.textures[0], again.textures[0])
    assert pack(mesh) == pack(again)
    with pytest.raises(MeshError, match="cannot be read"):
        unpack(pack(mesh)[:-40])


def test_normalised_objects_touch_the_unit_sphere_and_are_centred() -> None:
    for mesh in (random_object(np.random.default_rng(2))[0], stretch(axes(), (-1.2, 0.8, 1.0))):
        assert np.linalg.norm(mesh.vertices, axis=1).max() == pytest.approx(1, abs=1e-5)
        assert np.abs(mesh.vertices.max(0) + mesh.vertices.min(0)).max() < 1e-5


def test_recolouring_keeps_grey_grey_and_turns_the_rest() -> None:
    assert np.allclose(colour_matrix(120, (1, 1, 1)) @ np.array([1, 0, 0]), [0, 1, 0], atol=1e-9)
    assert np.allclose(colour_matrix(77, (1, 1, 1)) @ np.array([0.4, 0.4, 0.4]), 0.4)
    mesh = recolour(axes(), colour_matrix(120, (1.0, 0.5, 1.0)))
    assert np.allclose(mesh.colours[1, :3], [0.1, 0.45, 0.1], atol=1e-6), "red to green, then half of it"


def test_every_shape_is_closed_and_within_its_box() -> None:
    for kind in SHAPES:
        vertices, faces = shape(kind)
        assert np.abs(vertices).max() <= 1.0 + 1e-9
        key = np.unique(vertices.round(6), axis=0, return_inverse=True)[1][faces]
        edges = np.sort(np.concatenate((key[:, [0, 1]], key[:, [1, 2]], key[:, [2, 0]])), axis=1)
        edges = edges[edges[:, 0] != edges[:, 1]]
        counts = np.unique(edges, axis=0, return_counts=True)[1]
        assert (counts % 2 == 0).all(), f"{kind} has an open edge"
    with pytest.raises(ValueError, match="'pyramid' is no shape"):
        shape("pyramid")


def test_the_numpy_renderer_is_fast_enough() -> None:
    """50 views of 32 px a second of one core's time: 100 on two."""
    draw = drawer(random_object(np.random.default_rng(1))[0], "numpy")
    views: list[Camera] = [camera(orbit(40 * k, 30, 2.8), FOCAL) for k in range(10)]
    best = np.inf
    for _ in range(3):
        started = time.process_time()
        for seen_by in views:
            picture(draw, seen_by, 32)
        best = min(best, time.process_time() - started)
    assert len(views) / best > 50
