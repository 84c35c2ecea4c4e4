"""Cameras: the one convention of this project, how others are turned into it, and where a point falls in the picture.

World: right-handed, +z up, the object centred at the origin within the unit sphere. Camera (OpenCV): x to the right, y down,
z forward into the scene. A pose is the matrix (3, 4) [R | position] from camera to world: its columns are the camera's x, y and
z axes and its place, in world coordinates. Intrinsics are in sides of the square picture, so that they hold at every size: a
point (x, y, z) of camera coordinates is seen at u = fx x / z + cx, v = fy y / z + cy, where (0, 0) is the outer corner of the
upper left pixel, (1, 1) that of the lower right one, and pixel (row i, column j) of S x S has its centre at ((j + .5) / S,
(i + .5) / S).

OpenGL's and Blender's cameras have y up and look along -z: `from_opengl`. Everything is converted where it enters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from soda.common.errors import SodaError

PREFIX = "camera."
COLUMNS = tuple(
    PREFIX + name
    for name in ("fx", "fy", "cx", "cy", *(f"{part}{row}" for row in range(3) for part in ("right", "down", "forward", "place")))
)
"""The manifest's columns of a camera: intrinsics, then the pose row by row. `Camera.numbers` has this order."""
NUMBERS = len(COLUMNS)
FOCAL_LENGTHS = (0.1, 20.0)
"""Sides; fields of view of 157 and 3 degrees. A focal length in pixels is far above."""
_TOLERANCE = 1e-3  # of R R' = 1: files with poses have six digits or fewer


class CameraError(SodaError, ValueError):
    """A camera that is missing, not finite, or not of the convention; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Camera:
    """One pinhole camera. `pose` are the twelve numbers of [R | position], row by row."""

    fx: float
    fy: float
    cx: float
    cy: float
    pose: tuple[float, ...]

    @property
    def numbers(self) -> tuple[float, ...]:
        """Sixteen numbers in the order of COLUMNS."""
        return (self.fx, self.fy, self.cx, self.cy, *self.pose)

    @property
    def matrix(self) -> np.ndarray:
        """The pose, (3, 4) float64."""
        return np.asarray(self.pose, np.float64).reshape(3, 4)

    @property
    def columns(self) -> dict[str, float]:
        """The camera's values in the manifest."""
        return dict(zip(COLUMNS, self.numbers, strict=True))


def camera(matrix: np.ndarray, focal: float | tuple[float, float], centre: tuple[float, float] = (0.5, 0.5)) -> Camera:
    """A camera from its pose (3, 4) or (4, 4), focal length and principal point, in sides. Raises CameraError."""
    matrix = np.asarray(matrix, np.float64)
    if matrix.shape not in ((3, 4), (4, 4)):
        raise CameraError(f"a pose is a matrix (3, 4) or (4, 4), not {matrix.shape}")
    if len(matrix) == 4 and not np.allclose(matrix[3], (0, 0, 0, 1), atol=_TOLERANCE):
        raise CameraError(f"the pose's last row is {matrix[3].tolist()}, not 0 0 0 1: it may be transposed")
    if focal is None or centre is None:
        raise CameraError("the intrinsics are missing: a camera takes its focal length and principal point, in sides")
    fx, fy = focal if isinstance(focal, Sequence | np.ndarray) else (focal, focal)
    made = Camera(float(fx), float(fy), float(centre[0]), float(centre[1]), tuple(matrix[:3].ravel().tolist()))
    problem = problem_of(np.asarray([made.numbers]))[0]
    if problem:
        raise CameraError(problem)
    return made


def problem_of(numbers: np.ndarray) -> list[str | None]:
    """For each camera of (n, 16) what is wrong with it, None where nothing is."""
    numbers = np.asarray(numbers, np.float64)
    finite = np.isfinite(numbers).all(1)
    safe = np.where(np.isfinite(numbers), numbers, 0.0)
    pose = safe[:, 4:].reshape(-1, 3, 4)
    rotation, place = pose[:, :, :3], pose[:, :, 3]
    skew = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max((1, 2))
    handed = np.linalg.det(rotation)
    local = -(rotation * place[:, :, None]).sum(1)  # (n, 3): the origin in camera coordinates
    ahead = local[:, 2]
    seen = safe[:, :2] * local[:, :2] / np.where(ahead > 0, ahead, 1.0)[:, None] + safe[:, 2:4]  # where it is in the picture
    found: list[str | None] = []
    for k in range(len(numbers)):
        if not finite[k]:
            found.append("the camera has numbers that are missing or not finite")
        elif safe[k, :2].min() < FOCAL_LENGTHS[0] or safe[k, :2].max() > FOCAL_LENGTHS[1]:
            found.append(
                f"a focal length of ({safe[k, 0]:g}, {safe[k, 1]:g}) sides, not {FOCAL_LENGTHS[0]:g} to {FOCAL_LENGTHS[1]:g}: "
                "one in pixels has to be divided by the picture's side"
            )
        elif safe[k, 2:4].min() < 0 or safe[k, 2:4].max() > 1:
            found.append(f"a principal point of ({safe[k, 2]:g}, {safe[k, 3]:g}) sides lies outside the picture")
        elif skew[k] > _TOLERANCE:
            found.append(f"the pose is no rotation: R R' differs from 1 by {skew[k]:.2g}")
        elif handed[k] < 0:
            found.append("the pose is a mirrored rotation (determinant -1): an axis is turned round, as where conventions mix")
        elif ahead[k] <= 0:
            found.append(
                f"the object at the origin lies behind the camera ({-ahead[k]:.3g} units): the pose is of another convention, "
                "e.g. OpenGL's, whose cameras look along -z, or from world to camera"
            )
        elif seen[k].min() < 0 or seen[k].max() > 1:
            found.append(
                f"the object at the origin lies outside the picture, at ({seen[k, 0]:.3g}, {seen[k, 1]:.3g}) sides: the pose is "
                "of another convention, e.g. from world to camera, or of another world"
            )
        else:
            found.append(None)
    return found


STEEP = 0.999
"""Sine of the elevation from which on z is no up to go by."""


def look_at(place: Sequence[float] | np.ndarray) -> np.ndarray:
    """The pose (3, 4) of an upright camera at `place`, looking at the origin. Raises CameraError at the origin itself."""
    place = np.asarray(place, np.float64)
    distance = float(np.linalg.norm(place))
    if distance < 1e-9:
        raise CameraError("a camera at the origin has nothing to look at")
    forward = -place / distance
    up = np.array([0.0, 0.0, 1.0]) if abs(forward[2]) < STEEP else np.array([0.0, 1.0, 0.0])  # from straight above any will do
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    return np.stack((right, np.cross(forward, right), forward, place), axis=1)


def orbit(azimuth: float, elevation: float, distance: float) -> np.ndarray:
    """The pose (3, 4) of a camera on a sphere round the object; angles in degrees, azimuth from +x towards +y, elevation from -90
    to 90. It turns with the azimuth even straight above. Raises CameraError for another elevation."""
    if not -90 <= elevation <= 90:
        raise CameraError(f"an elevation of {elevation:g} degrees is not possible; it must be -90 to 90")
    a, e = math.radians(azimuth), math.radians(elevation)
    pose = look_at(distance * np.array([math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)]))
    if abs(math.sin(e)) >= STEEP:
        pose[:, 0] = -math.sin(a), math.cos(a), 0.0
        pose[:, 1] = np.cross(pose[:, 2], pose[:, 0])
    return pose


def from_opengl(matrix: np.ndarray) -> np.ndarray:
    """Camera-to-world of a camera with y up that looks along -z -> this convention; (..., 3 or 4, 4), the world stays."""
    return np.asarray(matrix, np.float64) * np.array([1.0, -1.0, -1.0, 1.0])


def y_up_to_z_up(matrix: np.ndarray) -> np.ndarray:
    """Camera-to-world (3 or 4, 4) in a world whose y is up -> in ours: (x, y, z) becomes (x, -z, y)."""
    matrix = np.array(matrix, np.float64)
    matrix[:3] = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ matrix[:3]
    return matrix


def focal_length(field_of_view: float) -> float:
    """Focal length in sides of a field of view in degrees, from side to side."""
    return 0.5 / math.tan(math.radians(field_of_view) / 2)


def project(points: np.ndarray, seen_by: Camera) -> tuple[np.ndarray, np.ndarray]:
    """World points (n, 3) -> where they are seen, (n, 2) as (u, v) in sides, and their depth along z, (n,)."""
    pose = seen_by.matrix
    local = (np.asarray(points, np.float64) - pose[:, 3]) @ pose[:, :3]
    uv = local[:, :2] / local[:, 2:] * (seen_by.fx, seen_by.fy) + (seen_by.cx, seen_by.cy)
    return uv, local[:, 2]


def upper_half_sphere(
    count: int, generator: np.random.Generator, *, elevation: tuple[float, float], distance: tuple[float, float]
) -> list[np.ndarray]:
    """`count` poses drawn evenly over the area of a zone of the sphere; elevations in degrees."""
    azimuths = generator.uniform(-180.0, 180.0, count)
    low, high = (math.sin(math.radians(angle)) for angle in elevation)
    elevations = np.degrees(np.arcsin(generator.uniform(low, high, count)))
    distances = generator.uniform(*distance, count)
    return [orbit(a, e, d) for a, e, d in zip(azimuths, elevations, distances, strict=True)]
