"""JPEG files whose side segments Pillow stumbles over: shown without them, as libjpeg passes them over.

A JFIF header or a part of a profile that is too short, or a block of Photoshop's or of previews (MPF) that is cut, is no fault
of the picture. (ITU-T T.81, B.1 and B.2; T.871 for JFIF; T.872, 6.5.3 for Adobe's.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, TypeAlias

from soda.runtime.spliced import Piece, Spliced

SIGNATURE = b"\xff\xd8\xff"
_APP0, _APP1, _APP2, _APP14, _COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE
_SCAN, _END = 0xDA, 0xD9
_BARE = {0x01, *range(0xD0, 0xD8)}  # markers without a segment
Kept: TypeAlias = Callable[[int, bytes], bool]
"""Whether a side segment (its marker, what it holds) is shown."""


def decides_colours(marker: int, data: bytes) -> bool:
    """Those by which libjpeg tells YCbCr from RGB and CMYK; it looks at none that is shorter."""
    return (marker == _APP0 and data.startswith(b"JFIF\0") and len(data) >= 14) or (
        marker == _APP14 and data.startswith(b"Adobe") and len(data) >= 12
    )


def decides_looks(marker: int, data: bytes) -> bool:
    """Those, EXIF, XMP and the parts of a profile."""
    if marker == _APP1:
        return data.startswith((b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"))
    return decides_colours(marker, data) or (marker == _APP2 and data.startswith(b"ICC_PROFILE\0") and len(data) >= 14)


def without_segments(file: BinaryIO, kept: Kept) -> BinaryIO:
    """The file without comments and without the application segments before its first scan that `kept` is False for."""
    pieces: list[Piece] = []
    start, end = 0, file.seek(0, 2)  # start: of what is shown and not yet among the pieces
    file.seek(2)
    while (marker := _next_marker(file)) not in (None, _SCAN, _END):
        assert marker is not None
        if marker in _BARE:
            continue
        place = file.tell()
        length = max(2, int.from_bytes(file.read(2), "big"))
        if (0xE0 <= marker <= 0xEF or marker == _COMMENT) and not kept(marker, file.read(length - 2)):
            pieces.append((start, place - 2 - start))
            start = place + length
        file.seek(place + length)
    if start < end:
        pieces.append((start, end - start))
    return Spliced(file, pieces)  # type: ignore[return-value]


def _next_marker(file: BinaryIO) -> int | None:
    """The marker after any fill bytes and whatever else stands before it; None at the end."""
    while block := file.read(1):
        if block != b"\xff":
            continue
        while block == b"\xff":
            block = file.read(1)
        if block not in (b"", b"\0"):
            return block[0]
    return None
