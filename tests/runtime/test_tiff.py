"""TIFFs of every depth, sign and photometric interpretation show what any viewer shows."""

from __future__ import annotations

import io
import itertools
import struct
import zlib

import numpy as np
import pytest

from soda.runtime.preprocess import PictureError, load_picture

WIDTH, HEIGHT = 17, 9
RAMP = np.broadcast_to(np.linspace(0, 1, WIDTH), (HEIGHT, WIDTH))
UNSIGNED, SIGNED, FLOAT = 1, 2, 3


def packed(values: np.ndarray, bits: int, order: str, kind: int) -> bytes:
    """(H, n) numbers as rows of `bits` each, filled up to whole bytes."""
    if kind == FLOAT or bits in (8, 16, 32, 64):
        letter = {UNSIGNED: "u", SIGNED: "i", FLOAT: "f"}[kind]
        return values.astype(f"{order}{letter}{bits // 8}").tobytes()
    rows = []
    for row in values.astype(np.int64):
        text = "".join(f"{int(v) & ((1 << bits) - 1):0{bits}b}" for v in row)
        text += "0" * (-len(text) % 8)
        rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
    return b"".join(rows)


def tiff(
    values: np.ndarray,
    *,
    bits: int,
    kind: int = UNSIGNED,
    photometric: int = 1,
    order: str = "<",
    deflate: bool = False,
    extra: int = -1,
) -> bytes:
    """values: (H, W, samples). One strip."""
    height, width, samples = values.shape
    data = packed(values.reshape(height, -1), bits, order, kind)
    data = zlib.compress(data) if deflate else data
    tags = [(256, 4, (width,)), (257, 4, (height,)), (258, 3, (bits,) * samples), (259, 3, (8 if deflate else 1,))]
    tags += [(262, 3, (photometric,)), (273, 4, (0,)), (277, 3, (samples,)), (278, 4, (height,)), (279, 4, (len(data),))]
    tags += [(338, 3, (extra,))] if extra >= 0 else []
    tags += [(339, 3, (kind,) * samples)]
    start = 8 + 2 + 12 * len(tags) + 4
    directory, behind = struct.pack(order + "H", len(tags)), b""
    lists = sum(2 * len(v) for _, t, v in tags if t == 3 and len(v) > 2)
    for tag, type_, numbers in tags:
        numbers = (start + lists,) if tag == 273 else numbers
        code = order + str(len(numbers)) + "HI"[type_ == 4]
        content = struct.pack(code, *numbers)
        if len(content) > 4:
            behind, content = behind + content, struct.pack(order + "I", start + len(behind))
        directory += struct.pack(order + "HHI", tag, type_, len(numbers)) + content.ljust(4, b"\0")
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + directory + bytes(4) + behind + data


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
