"""Novel views: an object from one or more pictures of it, drawn as other cameras would see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from soda.common.checks import whole_number
from soda.common.errors import InputError
from soda.geometry.cameras import NUMBERS, Camera, CameraError, camera, orbit, problem_of
from soda.inference.drawer import Drawer, Sampling

Cameras = Camera | Sequence[Camera] | np.ndarray


def camera_numbers(cameras: Cameras, what: str) -> Tensor:
    """(B, 16) float32 of one camera or several, or of their numbers. Raises CameraError naming the first that is wrong."""
    if cameras is None:
        raise CameraError(f"{what}: there is no camera; what is drawn wants one, `soda.geometry.cameras.camera(...)`")
    if isinstance(cameras, Camera):
        cameras = [cameras]
    if isinstance(cameras, np.ndarray):
        numbers = np.atleast_2d(np.asarray(cameras, np.float64))
    else:
        cameras = list(cameras) if isinstance(cameras, Iterable) else [cameras]
        for place, each in enumerate(cameras):
            if not isinstance(each, Camera):
                kind = "None" if each is None else f"a {type(each).__name__}"
                raise CameraError(
                    f"{what}, camera {place}: {kind} is no camera: give pose and intrinsics, `soda.geometry.cameras.camera(...)`"
                )
        numbers = np.asarray([each.numbers for each in cameras], np.float64).reshape(-1, NUMBERS)
    if numbers.ndim != 2 or numbers.shape[1] != NUMBERS or not len(numbers):
        raise CameraError(f"{what}: cameras are (B, {NUMBERS}), intrinsics and pose, not {numbers.shape}")
    for place, problem in enumerate(problem_of(numbers)):
        if problem is not None:
            raise CameraError(f"{what}, camera {place}: {problem}")
    return torch.from_numpy(numbers.astype(np.float32))


def novel_views(drawer: Drawer, views: Tensor, source_poses: Cameras | None, target_poses: Cameras, sampling: Sampling) -> Tensor:
    """views: (V, C, S, S) of one object -> (N, C, S, S), as the N target cameras see it; their latents are pooled (mean).

    All are drawn from one noise, also that of a stochastic sampler's steps, so that a turn round the object does not flicker.
    source_poses: a camera for each view; None: none is known. Raises ValueError for a model without cameras, CameraError for
    cameras that are wrong or too few.
    """
    if not drawer.network.takes_cameras:
        raise InputError("this model was trained without cameras (model.cameras.rays=false): it cannot draw novel views")
    sources = None if source_poses is None else camera_numbers(source_poses, "source_poses")
    if sources is not None and len(sources) != len(views):
        raise CameraError(f"source_poses: {len(sources)} cameras for {len(views)} views")
    targets = camera_numbers(target_poses, "target_pose")
    z, context = drawer.encode_views(views[None], None if sources is None else sources[None])  # (1, D)
    seen = None if context is None else context.expand(len(targets))
    z = z.expand(len(targets), -1)
    return drawer.draw(z, sampling=sampling, alike=True, label="novel views", cameras=targets, context=seen)


def orbit_cameras(frames: int, *, azimuth: float, elevation: float, distance: float, focal: float) -> list[Camera]:
    """Cameras once round the object from `azimuth` on, all at one elevation; degrees, focal length in sides.

    Raises ValueError for less than one frame, CameraError for a camera that sees nothing.
    """
    whole_number("frames", frames, 1)
    return [camera(orbit(azimuth + 360 * k / frames, elevation, distance), focal) for k in range(frames)]
