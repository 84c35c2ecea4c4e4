"""Bytes of memory that a picture takes for each of its pixels until it is a small square, at most: measured, and rounded up.

Of the image that is decoded, of what its format's library needs beside it, and of the copies on the way to a square.
"""

from __future__ import annotations

from typing import Any

from soda.runtime.tiff_layout import SIGNED, Layout

_PLAIN = 8  # four as Pillow has it, and as much for the square that is cut out
_COPY = 4  # turned, or in other colours
_OF_MODE = {"L": 9, "P": 9, "1": 9, "I": 16, "F": 16, "I;16": 12, "I;16B": 12, "I;16L": 12}
_CLEAR = 18  # over white: colours, white and the result beside each other
_OF_FORMAT = {"WEBP": 20, "JPEG2000": 22, "AVIF": 12}
_UNKNOWN = 16  # of a plugin
_KNOWN = {"PNG", "JPEG", "MPO", "GIF", "TIFF", "BMP", "DIB", "PPM", *_OF_FORMAT}
_FROM_16_BITS = 26  # a PNG of 16-bit colours of which one is transparent


def of_image(image: Any, *, clear: int = 0, altered: bool = False) -> int:
    """Of an image of Pillow's, opened and not decoded. clear: bits of the one transparent value that stands in no table; altered:
    it has an orientation or a profile that Pillow was not shown."""
    if clear == 16 and image.mode == "RGB":
        return _FROM_16_BITS
    base = _OF_MODE.get(image.mode, _PLAIN)
    if clear or "transparency" in image.info or image.mode in ("LA", "PA", "La", "RGBA", "RGBa"):
        base = _CLEAR
    elif altered or image.mode in ("CMYK", "LAB", "YCbCr") or "exif" in image.info or "icc_profile" in image.info:
        base += _COPY
    if image.format not in _KNOWN:
        base = max(base, _UNKNOWN)
    return max(base, _OF_FORMAT.get(image.format, 0))


def of_layout(layout: Layout) -> int:
    """Of a TIFF that is put together here: its bytes as Pillow unpacks them, and twice more, or its values beside them."""
    each = -(-layout.bits * layout.samples // 8)
    values = each if layout.bits in (8, 16, 32, 64) else (28 if layout.kind == SIGNED else 4) * layout.samples
    return max(3 * each, 2 * each + values, _CLEAR) + _COPY
