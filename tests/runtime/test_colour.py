"""Colour profiles are carried out; those that are sRGB, and pictures without one, are not touched by a bit."""

from __future__ import annotations

import io
import struct
import zlib
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


def in_jpeg2000(content: bytes, icc: bytes, method: int = 2) -> bytes:
    """A JP2 file with a profile in place of its colour specification."""
    header, specification = content.index(b"jp2h") - 4, content.index(b"colr") - 4
    whole, old = (struct.unpack_from(">I", content, place)[0] for place in (header, specification))
    new = struct.pack(">I", 11 + len(icc)) + b"colr" + bytes([method, 0, 0]) + icc
    length = struct.pack(">I", whole - old + len(new))
    return content[:header] + length + content[header + 4 : specification] + new + content[specification + old :]


def in_gif(content: bytes, icc: bytes) -> bytes:
    start = 13 + (3 * (2 << (content[10] & 7)) if content[10] & 0x80 else 0)
    blocks = b"".join(bytes([len(icc[i : i + 255])]) + icc[i : i + 255] for i in range(0, len(icc), 255))
    note = b"!\xfe\x04note\0"
    return content[:start] + note + b"!\xff\x0bICCRGBG1012" + blocks + b"\0" + content[start:]


def in_bmp(image: Image.Image, icc: bytes) -> bytes:
    rows = np.asarray(image)[::-1, :, ::-1].tobytes()
    head = struct.pack("<IiiHHIIiiII", 124, *image.size, 1, 24, 0, len(rows), 2835, 2835, 0, 0) + bytes(16) + b"DEBM" + bytes(48)
    head += struct.pack("<4I", 4, 124 + len(rows), len(icc), 0)
    return b"BM" + struct.pack("<IHHI", 138 + len(rows) + len(icc), 0, 0, 138) + head + rows + icc


def wide(icc: bytes) -> Image.Image:
    """What a picture of that space holds so that it looks as `picture` does."""
    found = ImageCms.profileToProfile(picture(), ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(icc)))
    assert found is not None
    found.info.clear()  # saved, it is to bring no profile
    return found


@pytest.mark.parametrize("name", PRIMARIES)
def test_profiles_that_pillow_passes_over(name: str) -> None:
    icc = screen(name)
    image = wide(icc)
    few = image.quantize(16)  # 16 colours are all that it has
    files = {
        "JPEG 2000": in_jpeg2000(saved(image, "JPEG2000"), icc),
        "JPEG 2000, any profile": in_jpeg2000(saved(image, "JPEG2000"), icc, method=3),
        "GIF": in_gif(saved(few, "GIF"), icc),
        "BMP": in_bmp(image, icc),
    }
    for kind, content in files.items():
        assert np.abs(read(content) - np.asarray(picture())).max() <= 4, kind
        plain = read(content.replace(icc[:200], bytes(200)))  # a damaged one changes nothing
        assert np.abs(plain - np.asarray(image)).max() <= 2, kind
    cut = in_bmp(image, icc)[: -len(icc) // 2]
    assert read(cut).shape == (32, 32, 3)
    np.testing.assert_array_equal(read(in_gif(saved(few, "GIF"), b"")), read(saved(few, "GIF")))
    assert np.abs(read(in_jpeg2000(saved(image, "JPEG2000"), b"12345")) - np.asarray(image)).max() <= 2


def camera(index: str, space: int = 65535, order: str = ">") -> bytes:
    """EXIF of a camera that follows DCF: its colour space, and the index of interoperability."""

    def directory(*entries: bytes) -> bytes:
        return struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)

    first = directory(struct.pack(order + "HHII", 0x8769, 4, 1, 26))
    about = [struct.pack(order + "HHIHH", 0xA001, 3, 1, space, 0), struct.pack(order + "HHII", 0xA005, 4, 1, 56)]
    between = directory(struct.pack(order + "HHI", 1, 2, 4) + index.encode().ljust(4, b"\0"))
    return b"Exif\0\0" + {">": b"MM\0*", "<": b"II*\0"}[order] + struct.pack(order + "I", 8) + first + directory(*about) + between


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_camera_says_adobe_rgb_without_a_profile(order: str) -> None:
    image = wide(screen("Adobe RGB"))
    about: dict[str, Any] = {"quality": 100, "subsampling": 0}
    adobe = saved(image, "JPEG", exif=camera("R03", order=order), **about)
    assert np.abs(read(adobe) - np.asarray(picture())).max() <= 8
    opened = Image.open(io.BytesIO(adobe))
    np.testing.assert_array_equal(np.asarray(to_rgb(opened)), read(adobe))
    np.testing.assert_array_equal(np.asarray(to_rgb(opened)), read(adobe))  # again: nothing was used up
    for exif in (camera("R98", order=order), camera("R03", space=1, order=order), camera("R03", order=order)[:60]):
        np.testing.assert_array_equal(read(saved(image, "JPEG", exif=exif, **about)), read(saved(image, "JPEG", **about)))
    with_profile = saved(image, "JPEG", exif=camera("R03", order=order), icc_profile=SRGB, **about)
    np.testing.assert_array_equal(read(with_profile), read(saved(image, "JPEG", **about)))  # a profile comes first


@pytest.mark.parametrize(("primaries", "transfer"), [(12, 13), (1, 13), (1, 8), (9, 13), (12, 16), (2, 2)])
def test_a_png_names_its_colours_by_numbers(primaries: int, transfer: int) -> None:
    """Display P3 and its like by cICP; what is for video or of high dynamic range is passed over."""
    icc = screen("Display P3")
    image = wide(icc) if primaries == 12 else picture()
    content = saved(image, "PNG")
    body = b"cICP" + bytes([primaries, transfer, 0, 1])
    found = read(content[:33] + struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body)) + content[33:])
    if (primaries, transfer) == (12, 13):
        assert np.abs(found - np.asarray(picture())).max() <= 8  # the profile here has an exponent, not sRGB's curve
    elif (primaries, transfer) in ((1, 13), (12, 16), (2, 2)):
        np.testing.assert_array_equal(found, np.asarray(image))
    elif transfer == 8:  # light itself: all looks brighter
        assert (found > np.asarray(image)).all()
    else:  # a wider space: more colourful
        assert np.ptp(found, axis=2).mean() > np.ptp(np.asarray(image).astype(int), axis=2).mean() + 5
