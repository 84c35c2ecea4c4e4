"""Curves as SVG: what is drawn is what was measured, however long the curve."""

from __future__ import annotations

import re

import numpy as np
import pytest

from soda.viz.svg_curves import MAX_POINTS, draw_curve, ticks


def test_long_curves_are_thinned_and_flat_ones_drawn() -> None:
    svg = draw_curve([(float(i), 1.0) for i in range(50_000)], "Loss", False)
    path = re.search(r'class="line" d="M([^"]+)"', svg)
    assert path is not None
    points = [tuple(map(float, pair.split())) for pair in path.group(1).split("L")]
    assert 100 < len(points) <= MAX_POINTS
    assert len({y for _, y in points}) == 1 and all(np.diff([x for x, _ in points]) > 0)


def test_the_picture_of_a_falling_curve_falls() -> None:
    svg = draw_curve([(0.0, 3.0), (10.0, 2.0), (20.0, 1.0)], "Loss", True)
    path = re.search(r'class="line" d="M([^"]+)"', svg)
    assert path is not None
    heights = [float(pair.split()[1]) for pair in path.group(1).split("L")]
    assert heights == sorted(heights) and heights[0] < heights[-1]  # SVG counts from the top
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.11)
    assert "3 at first, 1 at the end" in svg


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 7.0), (0.00021, 0.00034), (0.0, 149_999.0), (-1e-9, 1e-9)])
def test_ticks_are_few_even_and_enclose_when_asked(low: float, high: float) -> None:
    inner, outer = ticks(low, high), ticks(low, high, around=True)
    step = outer[1] - outer[0]
    assert np.allclose(np.diff(outer), step) and 2 <= len(outer) <= 8
    assert outer[0] <= low + 1e-6 * step and outer[-1] >= high - 1e-6 * step
    assert all(low - 1e-6 * step <= tick <= high + 1e-6 * step for tick in inner) and inner
