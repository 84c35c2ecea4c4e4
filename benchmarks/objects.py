"""Objects and their views: how fast they are rendered, and how long a turntable takes to draw."""

from __future__ import annotations

import contextlib
import time
from functools import partial

import numpy as np

from benchmarks.training import Figures, median_seconds
from soda import SODA
from soda.data.rendering import gl
from soda.data.rendering.procedural import random_object
from soda.data.rendering.views import drawer, picture
from soda.geometry.cameras import camera, focal_length, upper_half_sphere
from soda.inference.novel_view import orbit_cameras
from soda.layout import ZOO

MODEL = ZOO / "furniture"
SIDE, VIEWS, OBJECTS, FRAMES = 32, 24, 10, 24


def measure(*, seconds: float) -> Figures:
    """Rendering in one process, of which preparation starts one a core; a turn from one picture, with the threads of torch."""
    figures: Figures = {}
    for renderer in ("numpy", "gl"):
        with contextlib.suppress(gl.RenderError):  # a machine without OpenGL has the other one
            figures[f"rendering, {renderer}, one process, {SIDE} px"] = (_rendering(renderer), "views/s")
    model = SODA.from_pretrained(MODEL)
    source = np.full((SIDE, SIDE, 3), 200, np.uint8)
    cameras = orbit_cameras(FRAMES, azimuth=0, elevation=20, distance=2.8, focal=focal_length(45))
    turn = median_seconds(partial(model.novel_view, source, cameras[0], cameras), seconds)
    figures[f"turntable of {FRAMES} frames from one picture"] = (turn, "s")
    return figures


def _rendering(renderer: str) -> float:
    """Views a second. Raises RenderError where this renderer cannot be had."""
    generator, started = np.random.default_rng(0), time.perf_counter()
    for _ in range(OBJECTS):
        draw = drawer(random_object(generator)[0], renderer)
        for pose in upper_half_sphere(VIEWS, generator, elevation=(0, 85), distance=(2.65, 2.95)):
            picture(draw, camera(pose, focal_length(45)), SIDE)
    return OBJECTS * VIEWS / (time.perf_counter() - started)
