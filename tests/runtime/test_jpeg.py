"""JPEGs as libjpeg reads them, whatever their side segments say."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from soda.runtime.preprocess import PictureError, load_picture

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


def jpeg(*segments: bytes, mode: str = "RGB", orientation: int = 1) -> bytes:
    """PIXELS, with segments put before all others."""
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).convert(mode).save(buffer, "JPEG", quality=95, exif=exif)
    whole = buffer.getvalue()
    return whole[:2] + b"".join(segments) + whole[2:]


def app(number: int, data: bytes) -> bytes:
    return bytes([0xFF, 0xE0 + number]) + struct.pack(">H", 2 + len(data)) + data


def read(content: bytes) -> np.ndarray:
    return np.asarray(load_picture(io.BytesIO(content), name="a.jpg"))


RESOURCE = b"8BIM\x03\xed\0\0\0\0\0\x10" + bytes(16)
PREVIEWS = b"MPF\0MM\0*\0\0\0\x08\0\x03\xb0\0\0\7\0\0\0\x040100\xb0\1\0\4\0\0\0\1\0\0\0\2\xb0\2\0\7\0\0\0\x20\0\0\0\x32\0\0\0\0"
SIDE = {
    **{f"JFIF of {n} bytes": app(0, b"JFIF\0\1\1\0\0\1\0\1\0\0"[:n]) for n in range(14)},
    **{f"part of a profile of {n} bytes": app(2, b"ICC_PROFILE\0\1\1x"[:n]) for n in range(15)},
    **{f"Photoshop's block of {n} bytes": app(13, (b"Photoshop 3.0\0" + RESOURCE)[:n]) for n in range(0, 43, 3)},
    **{f"previews of {n} bytes": app(2, PREVIEWS[:n]) for n in range(0, len(PREVIEWS) + 1, 4)},
    **{f"Adobe's of {n} bytes": app(14, b"Adobe\0\x64\0\0\0\0\1"[:n]) for n in range(12)},
    **{f"EXIF of {n} bytes": app(1, b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12"[:n]) for n in range(0, 18, 3)},
    "part two of three of a profile": app(2, b"ICC_PROFILE\0\2\3profile"),
    "XMP without an end": app(1, b"http://ns.adobe.com/xap/1.0/\0\xff"),
    "FlashPix": app(2, b"FPXR\0"),
    "comment": b"\xff\xfe\0\2",
    "fill bytes": b"\xff\xff\xff",
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_sound_picture_is_read_whatever_stands_beside_it(mode: str) -> None:
    wanted = read(jpeg(mode=mode))
    for name, segment in SIDE.items():
        np.testing.assert_array_equal(read(jpeg(segment, mode=mode)), wanted, name)
    np.testing.assert_array_equal(read(jpeg(*SIDE.values(), mode=mode)), wanted)


def test_what_is_sound_beside_the_odd_still_counts() -> None:
    """Orientation and a profile, though the file is shown to Pillow without a part."""
    odd = app(2, b"ICC_PROFILE\0")
    np.testing.assert_array_equal(read(jpeg(odd, orientation=6)), read(jpeg(orientation=6)))
    assert read(jpeg(odd, orientation=6)).shape == (40, 24, 3)
    inks = read(jpeg(odd, mode="CMYK"))  # Adobe's segment says that they are inverted
    assert np.abs(inks.astype(int) - PIXELS).mean() < np.abs(255 - inks.astype(int) - PIXELS).mean()


def test_a_large_one_is_still_decoded_small() -> None:
    assert load_picture(io.BytesIO(jpeg(app(0, b"JFIF"))), max_pixels=40 * 24 // 4).size == (20, 12)


def test_damage_to_the_picture_itself_is_still_named() -> None:
    whole = jpeg(app(0, b"JFIF"))
    for content in (whole[: len(whole) // 2], whole[:3], whole[:8], b"\xff\xd8\xff" + bytes(100), b"\xff\xd8" + b"\xff" * 100):
        with pytest.raises(PictureError, match=r"^a\.jpg: "):
            read(content)
