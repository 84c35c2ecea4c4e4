"""PNG files whose side chunks are odd: read as the PNG specification and libpng have it, for the picture alone.

Pillow refuses a file for texts and profiles above 1 MB and for a side chunk that is cut or has a wrong checksum, and takes the
transparent value of 2, 4 and 16 bits for one of 8. So it is shown no side chunk but those that decide how the picture looks, and
these only where they are sound. (PNG, third edition, 5.3, 5.4, 11.3 and 13.7.)
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from soda.runtime import icc
from soda.runtime.spliced import Piece, Spliced

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST = 1 << 24
"""Bytes of a side chunk that is looked into, and of what it unpacks to."""
_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
_PILLOWS = 1 << 20  # bytes of a text that Pillow still reads
_GREY, _RGB, _PALETTE = 0, 2, 3
_ORIENTATION = re.compile(rb"tiff:Orientation(?:=[\"']|>)([1-8])")
_XMP, _RAW_EXIF = b"XML:com.adobe.xmp", (b"Raw profile type exif", b"Raw profile type APP1")


@dataclass
class Side:
    """What side chunks say of the picture.

    clear: the transparent value, or (red, green, blue), in the file's own depth. code_points: of colours and curve; they come
    before a profile.
    """

    depth: int = 8
    kind: int = -1
    clear: tuple[int, ...] | None = None
    icc: bytes | None = None
    code_points: tuple[int, int] | None = None
    orientation: bytes | None = None
    frames: int = 1
    pieces: list[Piece] = field(default_factory=list)

    def keep(self, start: int, length: int) -> None:
        last = self.pieces[-1] if self.pieces else b""
        if isinstance(last, tuple) and last[0] + last[1] == start:
            self.pieces[-1] = (last[0], last[1] + length)
        else:
            self.pieces.append((start, length))


def without_side_chunks(file: BinaryIO) -> tuple[BinaryIO, Side]:
    """The file as Pillow is to see it, and what was learnt of the chunks that it is not shown."""
    side = Side()
    side.keep(0, len(SIGNATURE))
    place, end = len(SIGNATURE), file.seek(0, 2)
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8 or not head[4:].isalpha():  # cut, or no chunk at all
            side.pieces.append(_END)  # Pillow says so where the picture is not whole before it
            break
        length, name = struct.unpack(">I4s", head)
        if name[0] & 32 or (name == b"PLTE" and side.kind != _PALETTE):
            # A lower-case letter: the picture can be decoded without it. So can colours without the palette that they suggest.
            if place + 12 + length > end:
                side.pieces.append(_END)  # cut: nothing follows it
                break
            if length <= MOST:
                _note(side, name, file.read(length), file.read(4), place)
        else:
            side.keep(place, 12 + length)
            if name == b"IHDR" and length == 13:
                side.depth, side.kind = struct.unpack(">8xBB3x", file.read(13))
        place += 12 + length
        if name == b"IEND":
            break
    return Spliced(file, side.pieces), side  # type: ignore[return-value]


def _note(side: Side, name: bytes, data: bytes, checksum: bytes, place: int) -> None:
    """Keep or take down a side chunk that matters. Of two of a kind the first counts, one with a wrong checksum not at all."""
    if checksum != struct.pack(">I", zlib.crc32(name + data)):
        return
    whole = 12 + len(data)
    if name == b"tRNS" and side.clear is None:
        numbers = {_GREY: 1, _RGB: 3}.get(side.kind, 0)
        if side.kind == _PALETTE and 1 <= len(data) <= 256:
            side.keep(place, whole)
        elif numbers and len(data) == 2 * numbers:
            mask = (1 << side.depth) - 1  # of more bits than the picture has the low ones count
            side.clear = tuple(value & mask for value in struct.unpack(f">{numbers}H", data))
    elif name == b"iCCP" and side.icc is None:
        side.icc = _unpacked(data.partition(b"\0")[2][1:])
    elif name == b"cICP" and len(data) == 4 and data[2:] == b"\0\1":  # RGB over the full range
        side.code_points = side.code_points or (data[0], data[1])
    elif name == b"acTL" and len(data) == 8:
        side.frames = int.from_bytes(data[:4], "big")
    elif name == b"eXIf":
        side.keep(place, whole)
    elif name in (b"tEXt", b"zTXt", b"iTXt"):
        keyword, _, rest = data.partition(b"\0")
        if keyword == _XMP and name == b"iTXt":
            text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
            found = _ORIENTATION.search((_unpacked(text) if rest[:1] == b"\1" else text) or b"")
            side.orientation = side.orientation or (found[1] if found else None)
        elif keyword in _RAW_EXIF and len(data) < _PILLOWS and (name == b"tEXt" or _unpacked(rest[1:], _PILLOWS) is not None):
            side.keep(place, whole)


def _unpacked(data: bytes, most: int = MOST) -> bytes | None:
    """None for what is damaged or longer."""
    stream = zlib.decompressobj()
    try:
        out = stream.decompress(data, most)
    except zlib.error:
        return None
    return out if stream.eof else None


def finished(image: Image.Image, side: Side, again: Any) -> Image.Image:
    """The decoded image with what its side chunks say of it. again: opens the same file anew, undecoded."""
    named = icc.of_code_points(*side.code_points) if side.code_points else None
    if named or side.icc:
        image.info["icc_profile"] = named or side.icc
    if side.orientation:
        image.info["XML:com.adobe.xmp"] = f'tiff:Orientation="{side.orientation.decode()}"'
    if side.clear is None:
        return image
    if side.kind == _GREY:
        # Pillow spreads 1, 2 and 4 bits over all of 0 to 255.
        (value,) = side.clear
        image.info["transparency"] = value if side.depth >= 8 else value * (255 // ((1 << side.depth) - 1))
    elif side.depth < 16:
        image.info["transparency"] = side.clear
    else:
        return _cleared(image, side.clear, again)
    return image


def _cleared(high: Image.Image, clear: tuple[int, ...], again: Any) -> Image.Image:
    """RGB of 16 bits: Pillow keeps the high byte, so the file is decoded once more for the low one."""
    low = again()
    low.tile = [tile._replace(args="RGB;16L") for tile in low.tile]  # as if little-endian: the other byte comes first
    low.load()
    wanted = np.asarray(clear)
    hit = (np.asarray(high) == wanted >> 8).all(2) & (np.asarray(low) == wanted & 255).all(2)
    info = dict(high.info)
    image = high.convert("RGB").convert("RGBA")
    image.putalpha(Image.fromarray(np.where(hit, 0, 255).astype(np.uint8)))
    image.info.update(info)
    return image
