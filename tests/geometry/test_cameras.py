"""Cameras and rays: cases worked out by hand, and that the renderers, the projection and the rays mean the same thing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from soda.geometry.cameras import (
    COLUMNS,
    Camera,
    CameraError,
    camera,
    focal_length,
    from_opengl,
    look_at,
    orbit,
    problem_of,
    project,
    upper_half_sphere,
    y_up_to_z_up,
)
from soda.geometry.rays import encode, encode_poses, pose_numbers, ray_channels, ray_grid, ray_maps

FOCAL = focal_length(45)


def batch(*cameras: Camera) -> torch.Tensor:
    return torch.tensor([each.numbers for each in cameras], dtype=torch.float64)


def test_a_camera_on_the_x_axis_by_hand() -> None:
    """It stands at (3, 0, 0) and looks along -x: +y is then to its right, and +z, which is up, against its y."""
    pose = orbit(0, 0, 3)
    assert np.allclose(pose, [[0, 0, -1, 3], [1, 0, 0, 0], [0, -1, 0, 0]])
    seen_by = camera(pose, 1.0)
    uv, depth = project(np.array([[0, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [1, 0, 0]]), seen_by)
    assert np.allclose(uv, [[0.5, 0.5], [0.5 + 0.5 / 3, 0.5], [0.5, 0.5 - 0.5 / 3], [0.5, 0.5]])
    assert np.allclose(depth, [3, 3, 3, 2])


def test_rays_of_two_by_two_pixels_by_hand() -> None:
    """Pixel centres are at 1/4 and 3/4; with a focal length of 1/2 the corners' rays lean by 1/2 to each side."""
    rays = ray_grid(batch(camera(orbit(0, 0, 3), 0.5)), 2)[0]
    assert np.allclose(rays[:3].permute(1, 2, 0), [3, 0, 0])
    length = math.sqrt(1 + 0.25 + 0.25)
    for row, column, expected in (
        (0, 0, (-1, -0.5, 0.5)),
        (0, 1, (-1, 0.5, 0.5)),
        (1, 0, (-1, -0.5, -0.5)),
        (1, 1, (-1, 0.5, -0.5)),
    ):
        assert np.allclose(rays[3:, row, column], np.array(expected) / length)


@pytest.mark.parametrize("size", [32, 128])
def test_autocast_moves_no_ray(size: int) -> None:
    focal = focal_length(45)
    cameras = batch(*(camera(orbit(47 * k, 10 + 9 * k, 2.8), focal) for k in range(6)))
    exact = ray_grid(cameras, size)[:, 3:]
    with torch.autocast("cpu", torch.bfloat16):
        found = ray_maps(cameras.float(), size, 4)[:, 27:30]  # the directions themselves, behind the encoded origins
    away = (found - exact).norm(dim=1) * focal * size  # in pixels, near the middle of the image
    assert float(away.square().mean().sqrt()) < 1e-3


def test_the_ray_through_a_pixel_passes_through_the_point_that_projects_there() -> None:
    generator = np.random.default_rng(0)
    points = generator.uniform(-0.6, 0.6, (50, 3))
    size = 64
    for pose in upper_half_sphere(5, generator, elevation=(0, 85), distance=(2.5, 3)):
        seen_by = camera(pose, (FOCAL, 1.1 * FOCAL), (0.52, 0.47))
        uv, depth = project(points, seen_by)
        assert depth.min() > 0
        rays = ray_grid(batch(seen_by), size)[0].permute(1, 2, 0).numpy()
        for point, (u, v), z in zip(points, uv, depth, strict=True):
            ray = rays[int(v * size), int(u * size)]
            away = np.linalg.norm(np.cross(point - ray[:3], ray[3:]))
            pixel = z / FOCAL / size  # its side at that depth
            assert away <= 0.5 * math.sqrt(2) * pixel * 1.01, "further from the ray than the corner of its pixel"


def test_every_drawn_camera_is_valid_upright_and_in_its_zone() -> None:
    poses = upper_half_sphere(200, np.random.default_rng(1), elevation=(10, 80), distance=(2, 3))
    cameras = [camera(pose, FOCAL) for pose in poses]
    assert problem_of(np.array([each.numbers for each in cameras])) == [None] * 200
    places = np.stack(poses)[:, :, 3]
    distances = np.linalg.norm(places, axis=1)
    elevations = np.degrees(np.arcsin(places[:, 2] / distances))
    assert distances.min() >= 2 and distances.max() <= 3
    assert elevations.min() >= 10 and elevations.max() <= 80 and np.ptp(elevations) > 50
    assert len({round(math.degrees(math.atan2(y, x)) / 45) for x, y, _ in places}) >= 8, "all the way round"
    assert (np.stack(poses)[:, 2, 1] < 0).all(), "the camera's y points down"


def test_conversions_at_the_door() -> None:
    pose = orbit(40, 30, 2.5)
    opengl = pose * np.array([1, -1, -1, 1])  # y up, looking along -z
    assert np.allclose(from_opengl(opengl), pose)
    in_y_up = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]) @ pose  # (x, y, z) there is (x, -z, y) here
    assert np.allclose(y_up_to_z_up(in_y_up), pose)
    assert np.allclose(look_at([0, 0, 3])[:, 2], [0, 0, -1]), "from straight above there is a camera too"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pose: pose * np.nan, "not finite"),
        (lambda pose: pose * np.array([1.2, 1, 1, 1]), "no rotation: R R' differs from 1 by 0"),
        (lambda pose: pose * np.array([1, -1, 1, 1]), "mirrored rotation"),
        (lambda pose: pose * np.array([1, -1, -1, 1]), "behind the camera .* OpenGL's"),
        (lambda pose: pose[:2], r"\(3, 4\) or \(4, 4\), not \(2, 4\)"),
    ],
    ids=["nan", "scaled", "mirrored", "opengl", "shape"],
)
def test_a_wrong_pose_is_one_clear_error(change, message: str) -> None:  # type: ignore[no-untyped-def]
    pose = orbit(20, 30, 2)
    assert camera(pose, FOCAL).pose
    with pytest.raises(CameraError, match=message):
        camera(change(pose), FOCAL)


def test_wrong_intrinsics_are_named() -> None:
    with pytest.raises(CameraError, match=r"focal length of \(0, 0\)"):
        camera(orbit(20, 30, 2), 0.0)
    with pytest.raises(CameraError, match="at the origin"):
        look_at([0, 0, 0])


def test_poses_from_world_to_camera_and_intrinsics_in_pixels_are_refused() -> None:
    pose = np.vstack((orbit(20, 30, 2), [0, 0, 0, 1]))
    with pytest.raises(CameraError, match=r"outside the picture, at .* from world to camera"):
        camera(np.linalg.inv(pose), FOCAL)
    with pytest.raises(CameraError, match=r"last row .* transposed"):
        camera(pose.T, FOCAL)
    with pytest.raises(CameraError, match=r"focal length of \(131\.25, 131\.25\) sides, not 0\.1 to 20"):
        camera(pose, 131.25)
    with pytest.raises(CameraError, match=r"principal point of \(64, 64\) sides"):
        camera(pose, FOCAL, (64.0, 64.0))
    with pytest.raises(CameraError, match="intrinsics are missing"):
        camera(pose, None)  # type: ignore[arg-type]


def test_the_encoding_by_hand() -> None:
    values = torch.tensor([[0.5, -1.0]], dtype=torch.float64)
    expected = [0.5, -1.0]
    for k in range(3):
        expected += [math.sin(2**k * 0.5), math.sin(2**k * -1.0), math.cos(2**k * 0.5), math.cos(2**k * -1.0)]
    assert np.allclose(encode(values, 3)[0], expected)
    assert torch.equal(encode(values, 0), values)


def test_maps_and_poses_have_the_sizes_that_they_say_and_differ_between_cameras() -> None:
    cameras = batch(camera(orbit(0, 20, 2.5), FOCAL), camera(orbit(90, 20, 2.5), FOCAL))
    maps, poses = ray_maps(cameras, 8, 4), encode_poses(cameras, 3)
    assert maps.shape == (2, ray_channels(4), 8, 8) and poses.shape == (2, pose_numbers(3))
    assert (maps[0] - maps[1]).abs().mean() > 0.1 and (poses[0] - poses[1]).abs().mean() > 0.1
    assert maps.abs().max() <= 3
    with pytest.raises(ValueError, match=r"cameras are \(B, 16\), not \(2, 12\)"):
        ray_grid(cameras[:, :12], 8)


def test_the_columns_are_the_cameras_numbers_in_order() -> None:
    made = camera(orbit(10, 20, 2.5), (1.0, 2.0), (0.4, 0.6))
    assert len(COLUMNS) == 16 and list(made.columns) == list(COLUMNS)
    columns = made.columns
    assert (columns["camera.fx"], columns["camera.fy"], columns["camera.cx"], columns["camera.cy"]) == (1.0, 2.0, 0.4, 0.6)
    place = [columns[f"camera.place{row}"] for row in range(3)]
    forward = [columns[f"camera.forward{row}"] for row in range(3)]
    assert np.allclose(place, -2.5 * np.array(forward))


def test_an_orbit_turns_straight_above_too_and_goes_no_higher() -> None:
    for elevation in (87.0, 88.0, 90.0, -90.0):
        for azimuth in (0.0, 90.0, 200.0):
            pose, beside = orbit(azimuth, elevation, 2.8), orbit(azimuth, math.copysign(86.9, elevation), 2.8)
            assert np.abs(pose[:, :3] - beside[:, :3]).max() < 0.06  # no jump
            np.testing.assert_allclose(pose[:, :3].T @ pose[:, :3], np.eye(3), atol=1e-12)
    with pytest.raises(CameraError, match="elevation of 120"):
        orbit(0, 120, 2.8)
