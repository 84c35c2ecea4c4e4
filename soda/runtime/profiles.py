"""Colour profiles that stand where Pillow does not look: in JPEG 2000, BMP and GIF; and Adobe RGB that a camera names in EXIF.

(ISO/IEC 15444-1, I.5.3.3; BITMAPV5HEADER; ICC.1, B.6 for GIF; DCF 2.0 for cameras, whose "R03" means Adobe RGB.)
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from soda.runtime import icc

MOST = 1 << 24
"""Bytes of a profile, and of a header, that is looked into."""
_EXIF, _INTEROPERABILITY = 0x8769, 0xA005
_COLOUR_SPACE, _INDEX, _UNCALIBRATED = 0xA001, 1, 65535


def beside(file: BinaryIO, format: str | None) -> bytes | None:
    """The profile of a file, of a format in which Pillow passes it over; None where there is none, or what is damaged."""
    look = {"JPEG2000": _of_jpeg2000, "BMP": _of_bmp, "GIF": _of_gif}.get(format or "")
    if look is None:
        return None
    try:
        return look(file)
    except (OSError, ValueError, IndexError, struct.error):  # it costs the profile, not the picture
        return None


def named_by_exif(image: Any) -> bytes | None:
    """Adobe RGB, where a camera's JPEG says so in EXIF; None otherwise."""
    if image.format not in ("JPEG", "MPO"):
        return None
    try:
        about = image.getexif().get_ifd(_EXIF)
        between = about.get(_INTEROPERABILITY)  # a directory within one: Pillow reads it when it is asked for by its number
        between = between if isinstance(between, dict) else image.getexif().get_ifd(_INTEROPERABILITY)
        index = between.get(_INDEX, "")
        index = index.decode("latin-1") if isinstance(index, bytes) else str(index)
        free = about.get(_COLOUR_SPACE, _UNCALIBRATED) == _UNCALIBRATED
        return icc.adobe_rgb() if free and index.strip("\0 ") == "R03" else None
    except Exception:  # the EXIF block is damaged in one of a hundred ways, the picture is not
        return None


def _of_jpeg2000(file: BinaryIO) -> bytes | None:
    """Of the first colour specification, where that is a profile (methods 2 and 3)."""
    for name, start, length in _boxes(file, 0, file.seek(0, 2)):
        if name != b"jp2h":
            continue
        for inner, place, size in _boxes(file, start, start + length):
            if inner == b"colr":
                file.seek(place)
                method = file.read(3)[0]
                return file.read(size - 3) if method in (2, 3) and 3 < size <= MOST else None
    return None


def _boxes(file: BinaryIO, place: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, length) of what each box holds."""
    while place + 8 <= end:
        file.seek(place)
        length, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if length == 1:
            head, (length,) = 16, struct.unpack(">Q", file.read(8))
        elif length == 0:  # to the end
            length = end - place
        if length < head:
            return
        yield name, place + head, length - head
        place += length


def _of_bmp(file: BinaryIO) -> bytes | None:
    """Of a header of version 5 that says MBED. A profile in another file (LINK) is left there."""
    file.seek(14)
    head = file.read(124)
    if len(head) < 124 or struct.unpack_from("<I", head)[0] != 124 or head[56:60] != b"DEBM":
        return None
    place, length = struct.unpack_from("<2I", head, 112)
    if not 0 < length <= MOST:
        return None
    file.seek(14 + place)
    return file.read(length)


def _of_gif(file: BinaryIO) -> bytes | None:
    """Of the extension ICCRGBG1 012 before the first image."""
    file.seek(0)
    head = file.read(13)
    file.seek(13 + (3 * (2 << (head[10] & 7)) if head[10] & 0x80 else 0))
    while file.read(1) == b"!":  # an extension
        label, data = file.read(1), io.BytesIO()
        name = file.read(file.read(1)[0])
        wanted = label == b"\xff" and name == b"ICCRGBG1012"
        while (length := file.read(1)[0]) and name:
            block = file.read(length)
            if wanted and data.tell() < MOST:
                data.write(block)
        if wanted:
            return data.getvalue()
    return None
