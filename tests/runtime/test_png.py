"""PNGs as libpng reads them, whatever their side chunks say; the values that are transparent at every depth."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from soda.runtime.preprocess import PictureError, load_picture

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
LONG = b"x" * 1_200_000


def chunk(kind: bytes, data: bytes, *, sound: bool = True) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ (not sound))


def png(*extra: bytes, behind: bytes = b"") -> bytes:
    """PIXELS, with chunks put behind the header or before the end."""
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG")
    whole = buffer.getvalue()
    return whole[:33] + b"".join(extra) + whole[33:-12] + behind + whole[-12:]


def read(content: bytes) -> np.ndarray:
    return np.asarray(load_picture(io.BytesIO(content), name="a.png"))


SIDE = {
    "long iTXt": chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(LONG)),
    "long zTXt": chunk(b"zTXt", b"workflow\0\0" + zlib.compress(LONG)),
    "long tEXt": chunk(b"tEXt", b"workflow\0" + LONG),
    "long XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LONG)),
    "damaged zTXt": chunk(b"zTXt", b"workflow\0\0nonsense"),
    "raw EXIF above a megabyte": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(LONG)),
    "large profile": chunk(b"iCCP", b"scanner\0\0" + zlib.compress(np.random.default_rng(1).bytes(1_500_000))),
    "damaged profile": chunk(b"iCCP", b"scanner\0\0nonsense"),
    "profile without an end": chunk(b"iCCP", b"s"),
    **{
        f"short {kind.decode()}": chunk(kind, b"\0")
        for kind in (b"gAMA", b"cHRM", b"pHYs", b"sRGB", b"tRNS", b"eXIf", b"tIME", b"acTL")
    },
    **{
        f"wrong sum of {kind.decode()}": chunk(kind, b"\0\0\0\1\0\0\0\0", sound=False)
        for kind in (b"tEXt", b"iCCP", b"gAMA", b"eXIf", b"tRNS", b"acTL", b"caBX")
    },
    "gAMA and cHRM of sRGB": chunk(b"gAMA", struct.pack(">I", 45455)),
}


@pytest.mark.parametrize("name", SIDE)
@pytest.mark.parametrize("place", ["before", "behind"])
def test_a_sound_picture_is_read_whatever_stands_beside_it(name: str, place: str) -> None:
    content = png(SIDE[name]) if place == "before" else png(behind=SIDE[name])
    np.testing.assert_array_equal(read(content), PIXELS)


@pytest.mark.parametrize("kind", [b"tEXt", b"iCCP", b"eXIf", b"tIME", b"prVt"])
def test_a_side_chunk_that_is_cut_does_not_cost_the_picture(kind: bytes) -> None:
    whole = png()[:-12]
    for announced in (30, 5000, 1 << 20, 1 << 25, (1 << 32) - 1):
        for there in (0, 1, 20, 33):
            content = whole + struct.pack(">I", announced) + kind + bytes(there)
            np.testing.assert_array_equal(read(content), PIXELS, str((announced, there)))
    for length in range(1, 12):  # of the chunk's own head, or of IEND
        np.testing.assert_array_equal(read((whole + struct.pack(">I", 30) + kind)[: len(whole) + length]), PIXELS)
        np.testing.assert_array_equal(read(png()[:-length]), PIXELS)
    np.testing.assert_array_equal(read(whole + b"\xff" * 40), PIXELS)  # rubbish in its place


@pytest.mark.parametrize("palette", [bytes(9), bytes(3), bytes(10), bytes(1000), b""])
@pytest.mark.parametrize("sound", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_palette_that_colours_only_suggest_may_be_damaged(palette: bytes, sound: bool, mode: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(buffer, "PNG")
    whole = buffer.getvalue()
    np.testing.assert_array_equal(read(whole[:33] + chunk(b"PLTE", palette, sound=sound) + whole[33:]), read(whole))


def test_what_follows_the_end_is_no_part_of_the_picture() -> None:
    np.testing.assert_array_equal(read(png() + b"trailing rubbish" * 100), PIXELS)


@pytest.mark.parametrize("packed", [False, True])
def test_the_orientation_in_xmp_counts_however_long_it_is(packed: bool) -> None:
    xmp = b'<rdf:Description tiff:Orientation="6"/>' + LONG
    text = b"XML:com.adobe.xmp\0" + (b"\1\0\0\0" + zlib.compress(xmp) if packed else b"\0\0\0\0" + xmp)
    np.testing.assert_array_equal(read(png(chunk(b"iTXt", text))), np.rot90(PIXELS, -1))


def test_an_exif_block_with_a_wrong_sum_is_passed_over() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    np.testing.assert_array_equal(read(png(chunk(b"eXIf", block))), np.rot90(PIXELS, -1))
    np.testing.assert_array_equal(read(png(chunk(b"eXIf", block, sound=False))), PIXELS)


def test_damage_to_the_picture_itself_is_still_named() -> None:
    whole = png()
    cut = whole[: len(whole) // 2]
    behind_a_cut = cut + struct.pack(">I", 90) + b"tEXt"
    for content in (cut, whole[:-40], behind_a_cut, whole[:20] + b"\xff" + whole[21:], whole[:60] + bytes(200) + whole[260:]):
        with pytest.raises(PictureError, match=r"^a\.png: "):
            read(content)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_transparent_grey_shows_white_at_every_depth(depth: int) -> None:
    top = (1 << depth) - 1
    clear = 1 if depth == 1 else top // 2
    values = [clear] * 8 + [0] * 8
    bits = "".join(f"{value:0{depth}b}" for value in values)
    row = b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    for written in (clear, clear | (0x100 if depth <= 8 else 0)):  # of more bits than the depth has the low ones count
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, depth, 0, 0, 0, 0))
        body = chunk(b"tRNS", struct.pack(">H", written)) + chunk(b"IDAT", zlib.compress(row * 16))
        shown = read(b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b""))
        assert (shown[:, :8] == 255).all() and (shown[:, 8:] == 0).all(), depth


@pytest.mark.parametrize("interlaced", [False, True])
def test_of_16_bit_colours_the_transparent_one_alone_shows_white(interlaced: bool) -> None:
    """Its neighbour in the low byte does not, though Pillow keeps the high bytes alone."""
    colours = [(0x1234, 0x5678, 0x9ABC), (0x1235, 0x5678, 0x9ABC), (0x1234, 0x5678, 0x9ABD), (0, 0, 0)]
    pixel = [struct.pack(">3H", *colour) for colour in colours]
    if interlaced:  # Adam7 of 4 x 1 px: passes 1, 4 and 6 have columns 0, 2, and 1 and 3
        data = b"\0" + pixel[0] + b"\0" + pixel[2] + b"\0" + pixel[1] + pixel[3]
    else:
        data = b"\0" + b"".join(pixel)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, 16, 2, 0, 0, interlaced))
    body = chunk(b"tRNS", pixel[0]) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    shown = read(b"\x89PNG\r\n\x1a\n" + head + body)[0]
    assert [tuple(map(int, each)) for each in shown] == [(255, 255, 255), (0x12, 0x56, 0x9A), (0x12, 0x56, 0x9A), (0, 0, 0)]
