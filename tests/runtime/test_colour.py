"""Colour profiles are carried out; those that are sRGB, and pictures without one, are not touched by a bit."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from soda.runtime.preprocess import load_picture, to_rgb

PRIMARIES = {  # red, green and blue in XYZ, adapted to D50; the exponent of the curve
    "Adobe RGB": ([(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)], 563 / 256),
    "ProPhoto RGB": ([(0.79767, 0.28804, 0), (0.13519, 0.71187, 0), (0.03134, 0.00009, 0.82491)], 1.8),
    "Display P3": ([(0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407)], 2.2),
}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    """An ICC profile of version 2 for a screen."""
    tags = [(b"desc", b"desc\0\0\0\0" + struct.pack(">I", 2) + b"a\0" + bytes(78)), (b"wtpt", xyz((0.9642, 1, 0.8249))), *tags]
    body, table, place = b"", b"", 132 + 12 * len(tags)
    for name, data in tags:
        padded = data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", place + len(body), len(padded))
        body += padded
    head = struct.pack(">I4sI4s4s4s", 0, b"none", 0x02400000, b"mntr", space, b"XYZ ") + bytes(12) + b"acsp" + bytes(28)
    whole = (head + xyz((0.9642, 1, 0.8249))[8:]).ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


def xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def curve(exponent: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256))


def screen(name: str) -> bytes:
    colours, exponent = PRIMARIES[name]
    named = [(letter + b"XYZ", xyz(each)) for letter, each in zip((b"r", b"g", b"b"), colours, strict=True)]
    return profile(b"RGB ", [*named, *((letter + b"TRC", curve(exponent)) for letter in (b"r", b"g", b"b"))])


def picture() -> Image.Image:
    """Soft colours, which every space here holds."""
    coarse = np.random.default_rng(0).integers(60, 200, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((32, 32), Image.Resampling.NEAREST)


def saved(image: Image.Image, format: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **settings)
    return buffer.getvalue()


def read(content: bytes) -> np.ndarray:
    return np.asarray(load_picture(io.BytesIO(content), name="a")).astype(int)


@pytest.mark.parametrize("name", PRIMARIES)
@pytest.mark.parametrize(
    ("format", "settings", "tolerance"),
    [
        ("PNG", {}, 3),
        ("TIFF", {}, 3),
        ("WEBP", {"lossless": True}, 3),
        ("JPEG", {"quality": 100, "subsampling": 0}, 8),
    ],
)
def test_a_picture_looks_the_same_in_every_space(name: str, format: str, settings: dict[str, Any], tolerance: int) -> None:
    icc, source = screen(name), picture()
    wide = ImageCms.profileToProfile(source, ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(icc)))
    assert wide is not None and np.abs(np.asarray(wide).astype(int) - np.asarray(source)).max() > 5
    content = saved(wide, format, icc_profile=icc, **settings)
    assert np.abs(read(content) - np.asarray(source)).max() <= tolerance
    # An image that a person opened, with transparency, or as a palette.
    opened = Image.open(io.BytesIO(content))
    assert np.abs(np.asarray(to_rgb(opened)).astype(int) - np.asarray(source)).max() <= tolerance
    if format == "PNG":
        clear = wide.convert("RGBA")
        clear.paste((0, 0, 0, 0), (0, 0, 8, 32))
        found = read(saved(clear, "PNG", icc_profile=icc))
        assert (found[:, :8] == 255).all() and np.abs(found - np.asarray(source))[:, 8:].max() <= tolerance
        assert np.abs(read(saved(wide.quantize(16), "PNG", icc_profile=icc)) - np.asarray(source)).max() <= tolerance + 2


@pytest.mark.parametrize("mode", ["L", "LA", "1", "I;16"])
def test_grey_has_profiles_too(mode: str) -> None:
    icc = profile(b"GRAY", [(b"kTRC", curve(1.0))])  # linear light: a middle value is far too dark where that is not known
    values = np.full((8, 8), 255 if mode == "1" else 55, np.uint8)
    image = Image.fromarray(values.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(values).convert(mode)
    found = read(saved(image, "TIFF" if mode == "I;16" else "PNG", icc_profile=icc))
    assert np.abs(found - (255 if mode == "1" else 128)).max() <= 2


def test_inks_have_profiles_too() -> None:
    """A table for CMYK in which every mixture of inks is one grey: nobody would guess that from the inks."""
    lut = (
        b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + b"".join(struct.pack(">i", v) for v in (65536, 0, 0, 0, 65536, 0, 0, 0, 65536))
    )
    lut += bytes(range(256)) * 4 + bytes([128, 128, 128]) * 16 + bytes(range(256)) * 3
    icc = bytearray(profile(b"CMYK", [(b"A2B0", lut)]))
    icc[12:16], icc[20:24] = b"prtr", b"Lab "
    image = Image.new("CMYK", (8, 8), (200, 10, 10, 10))
    for format, settings in (("TIFF", {}), ("JPEG", {"quality": 100})):
        found = read(saved(image, format, icc_profile=bytes(icc), **settings))
        assert np.ptp(found) <= 3, found[0, 0]
        assert np.abs(read(saved(image, format, **settings))[0, 0] - found[0, 0]).max() > 30


def test_lab_is_shown() -> None:
    lab = ImageCms.profileToProfile(picture(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB")
    assert lab is not None
    assert np.abs(np.asarray(to_rgb(lab)).astype(int) - np.asarray(picture())).max() <= 12  # of 8 bits, it is coarser


@pytest.mark.parametrize("icc", [SRGB, b"nonsense", SRGB[:300], profile(b"GRAY", [(b"kTRC", curve(1.0))])], ids=range(4))
def test_srgb_and_what_is_no_profile_of_the_picture_change_nothing(icc: bytes) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    for format in ("PNG", "TIFF", "WEBP"):
        settings = {"lossless": True} if format == "WEBP" else {}
        np.testing.assert_array_equal(read(saved(noise, format, icc_profile=icc, **settings)), np.asarray(noise))
    for mode in ("L", "RGBA", "P", "1"):
        image = noise.convert(mode)
        if icc[16:20] == b"GRAY" and mode in ("L", "1"):
            continue
        np.testing.assert_array_equal(read(saved(image, "PNG", icc_profile=icc)), read(saved(image, "PNG")))


def test_what_opens_the_picture_gives_its_profile_on(tmp_path: Path) -> None:
    """`to_rgb` knows it of a Pillow image as of a file, so that `Encoder.embed` takes both alike."""
    wide = Image.new("RGB", (8, 8), (0, 200, 0))
    wide.save(tmp_path / "a.png", icc_profile=screen("Adobe RGB"))
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(to_rgb(image)), np.asarray(load_picture(tmp_path / "a.png")))
    assert np.asarray(load_picture(tmp_path / "a.png"))[0, 0, 0] < 5
