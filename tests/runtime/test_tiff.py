"""TIFFs of every depth, sign and photometric interpretation show what any viewer shows."""

from __future__ import annotations

import io
import itertools
import struct
from typing import Any

import numpy as np
import pytest

from soda.runtime.picture_file import SEVERAL, open_picture
from soda.runtime.preprocess import PictureError, load_picture
from tests.support import tiffs
from tests.support.tiffs import FLOAT, SIGNED, UNSIGNED

WIDTH, HEIGHT = 17, 9
RAMP = np.broadcast_to(np.linspace(0, 1, WIDTH), (HEIGHT, WIDTH))


def tiff(values: np.ndarray, **stored: Any) -> bytes:
    return tiffs.tiff(values, tiffs.Stored(**stored))


def shown(content: bytes) -> np.ndarray:
    return np.asarray(load_picture(io.BytesIO(content), name="a.tif")).astype(int)


def near(found: np.ndarray, wanted: np.ndarray) -> bool:
    """wanted: (H, W) or (H, W, 3) from 0 to 1."""
    wanted = wanted[:, :, None] if wanted.ndim == 2 else wanted
    return found.shape == (HEIGHT, WIDTH, 3) and bool(np.abs(found - wanted * 255).max() <= 1.01)


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8, 10, 12, 14, 16])
def test_grey_of_every_depth_is_spread_over_the_whole_range_and_white_may_be_zero(bits: int) -> None:
    top = (1 << bits) - 1
    values = np.round(RAMP * top)
    for photometric, order, deflate in itertools.product((0, 1), "<>", (False, True)):
        found = shown(tiff(values[:, :, None], bits=bits, photometric=photometric, order=order, deflate=deflate))
        wanted = values / top
        assert near(found, wanted if photometric else 1 - wanted), (photometric, order, deflate)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_colours_of_every_depth(bits: int, order: str) -> None:
    colours = np.stack([RAMP, RAMP[:, ::-1], RAMP * 0.5], -1)
    assert near(shown(tiff(np.round(colours * ((1 << bits) - 1)), bits=bits, photometric=2, order=order)), colours)


@pytest.mark.parametrize(
    ("kind", "bits", "top"),
    [
        *((FLOAT, 16, 1), (FLOAT, 32, 1), (FLOAT, 64, 1), (FLOAT, 64, 255)),
        *((SIGNED, 8, 127), (SIGNED, 16, 255), (SIGNED, 32, 65535)),
        *((UNSIGNED, 24, 255), (UNSIGNED, 32, 65535), (UNSIGNED, 64, 255)),
    ],
)
def test_values_without_an_agreed_range(kind: int, bits: int, top: int) -> None:
    values = (RAMP * top) if kind == FLOAT else np.round(RAMP * top)
    whole = {1: 1, 127: 255, 255: 255, 65535: 65535}[top]
    for photometric, order, deflate in itertools.product((0, 1), "<>", (False, True)):
        content = tiff(values[:, :, None], bits=bits, kind=kind, photometric=photometric, order=order, deflate=deflate)
        assert near(shown(content), values / whole if photometric else 1 - values / whole), (photometric, order, deflate)
    if kind == FLOAT:
        colours = np.stack([values, values[:, ::-1], values], -1)
        assert near(shown(tiff(colours, bits=bits, kind=kind, photometric=2)), colours / whole)


def test_negative_values_are_the_dark_ones() -> None:
    values = (RAMP - 0.5) * 2000
    for kind, bits in ((FLOAT, 64), (SIGNED, 16), (SIGNED, 12)):
        assert near(shown(tiff(values[:, :, None], bits=bits, kind=kind)), RAMP)


@pytest.mark.parametrize(("bits", "kind"), [(8, UNSIGNED), (12, UNSIGNED), (16, UNSIGNED), (32, FLOAT)])
def test_transparency_shows_white_at_every_depth(bits: int, kind: int) -> None:
    top = 1.0 if kind == FLOAT else float((1 << bits) - 1)
    alpha = np.where(np.arange(WIDTH) < 5, 0, top) * np.ones((HEIGHT, 1))
    values = np.stack([np.zeros((HEIGHT, WIDTH)), alpha], -1)
    assert near(shown(tiff(values, bits=bits, kind=kind, extra=2)), np.where(alpha > 0, 0.0, 1.0))


def test_what_cannot_be_read_is_called_a_tiff_and_described() -> None:
    values = np.zeros((HEIGHT, WIDTH, 1))
    with pytest.raises(PictureError, match=r"a\.tif: a TIFF that is not read here: 1 x 32 bits, sample format 6"):
        shown(
            tiff(values, bits=32, kind=UNSIGNED).replace(struct.pack("<HHIH", 339, 3, 1, 1), struct.pack("<HHIH", 339, 3, 1, 6))
        )
    values = np.full((HEIGHT, WIDTH, 1), np.inf)
    with pytest.raises(PictureError, match=r"a\.tif: it holds values that are not finite"):
        shown(tiff(values, bits=64, kind=FLOAT))


def test_a_large_tiff_of_odd_depth_is_refused_by_its_header() -> None:
    content = tiff(np.zeros((HEIGHT, WIDTH, 1)), bits=12)
    with pytest.raises(PictureError, match="17 x 9 px is more than the limit of 100 pixels"):
        load_picture(io.BytesIO(content), name="a.tif", max_pixels=100)


WAYS: list[dict[str, Any]] = [
    {"rows": 4},
    {"rows": 1},
    {"rows": 1000},
    {"tile": (16, 16)},
    {"tile": (32, 16)},
    {"tile": (16, 16), "planar": True},
    {"planar": True},
    {"planar": True, "rows": 4},
]
"""WIDTH x HEIGHT px are more than a tile wide, and no whole number of strips high."""
FILLED: list[dict[str, Any]] = [{}, {"deflate": True}, {"deflate": True, "predictor": 2}]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_strips_tiles_planes_and_predictors_of_every_depth(way: dict[str, Any], order: str, big: bool) -> None:
    colours = np.stack([RAMP, RAMP[:, ::-1], RAMP * 0.5], -1)
    for bits, kind, filled in (
        *itertools.product((8, 16), (UNSIGNED,), FILLED),
        *itertools.product((12,), (UNSIGNED,), FILLED[:2]),
        *itertools.product((16, 32, 64), (FLOAT,), [*FILLED[:2], {"deflate": True, "predictor": 3}]),
        *itertools.product((32,), (UNSIGNED,), FILLED),
    ):
        top = 1 if kind == FLOAT else 65535 if bits > 16 else (1 << bits) - 1
        about: dict[str, Any] = {"bits": bits, "kind": kind, "order": order, "big": big, **way, **filled}
        values = colours * top if kind == FLOAT else np.round(colours * top)
        assert near(shown(tiff(values, photometric=2, **about)), colours), about
        if not way.get("planar"):
            assert near(shown(tiff(values[:, :, :1], photometric=1, **about)), RAMP), about
            assert near(shown(tiff(values[:, :, :1], photometric=0, **about)), 1 - RAMP), about


def test_a_bigtiff_with_the_highest_byte_first_has_palettes_profiles_and_orientation_too() -> None:
    """Pillow does not know its head."""
    indices = np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH, 1) % 256
    palette = tuple(int(v) * 257 for v in np.random.default_rng(0).integers(0, 256, 768))
    wanted = (np.asarray(palette).reshape(3, 256).T // 257)[indices[:, :, 0]]
    for deflate in (False, True):
        found = [
            shown(tiff(indices, bits=8, photometric=3, deflate=deflate, order=order, big=big, more={320: (3, palette)}))
            for order, big in (("<", False), (">", False), ("<", True), (">", True))
        ]
        for each in found:
            np.testing.assert_array_equal(each, wanted)
    turned = shown(tiff(indices, bits=8, order=">", big=True, more={274: (3, (6,))}))
    np.testing.assert_array_equal(turned[:, :, 0], np.rot90(indices[:, :, 0], -1))
    with_profile = tiff(indices, bits=8, order=">", big=True, more={34675: (7, tuple(b"profile"))})
    assert open_picture(io.BytesIO(with_profile)).info["icc_profile"] == b"profile"
    ink = np.repeat(indices, 4, 2)
    assert shown(tiff(ink, bits=8, photometric=5, order=">", big=True)).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_several_pages_are_noted_whoever_reads_the_file(bits: int, order: str, big: bool) -> None:
    values = np.round(RAMP * ((1 << bits) - 1))[:, :, None]
    for pages, photometric in itertools.product((1, 2, 3), (0, 1)):
        content = tiff(values, bits=bits, photometric=photometric, order=order, big=big, pages=pages)
        assert (SEVERAL in open_picture(io.BytesIO(content)).info) == (pages > 1), (pages, photometric)
        assert near(shown(content), RAMP if photometric else 1 - RAMP)


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_depth_below_16_bits_is_full_where_the_file_says_so(samples: int, order: str) -> None:
    """MaxSampleValue 4095: 12 bits in 16 are no black picture. What is no such depth is statistics, and counts for nothing."""
    values = np.repeat(np.round(RAMP * 4095)[:, :, None], samples, 2)
    about: dict[str, Any] = {"bits": 16, "order": order, "photometric": 2 if samples > 2 else 1}
    if samples in (2, 4):
        values[:, :, -1] = 4095
        about["extra"] = 2
    for tag in ((4095,) * samples, (4095,)):
        assert near(shown(tiff(values, **about, more={281: (3, tag)})), RAMP), tag
    for number in (255, 4000, 65535):
        found = shown(tiff(values, **about, more={281: (3, (number,) * samples)}))
        assert near(found, shown(tiff(values, **about)) / 255), number
    with_alpha = np.stack([np.round(RAMP * 1023), np.full((HEIGHT, WIDTH), 65535)], -1)
    assert near(shown(tiff(with_alpha, bits=16, order=order, extra=2, more={281: (3, (1023, 65535))})), RAMP)


def test_pillows_limit_of_pixels_counts_no_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.stack([RAMP, RAMP, RAMP], -1)
    content = tiff(values, bits=64, kind=FLOAT, photometric=2)
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", WIDTH * HEIGHT)
    assert near(shown(content), values)
