"""A picture file to square uint8 pixels: the one preprocessing that preparation and deployment share (NumPy and Pillow only).

Whatever the file holds becomes sRGB of 8 bits: turned as its EXIF says, the first frame of several, palettes looked up,
transparency over white, colour profiles carried out, CMYK converted (Pillow undoes the inversion of Adobe's JPEGs), values of any
other depth scaled.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from soda.common.checks import one_of
from soda.common.errors import InputError
from soda.runtime.colour import to_srgb
from soda.runtime.greys import range_of, to_8_bit
from soda.runtime.memory import until_done
from soda.runtime.picture_error import PictureError
from soda.runtime.picture_file import FORMATS, MAX_PIXELS, open_picture, reason
from soda.runtime.profiles import named_by_exif

__all__ = ["FORMATS", "MAX_PIXELS", "PictureError", "load_picture", "open_picture", "to_rgb", "to_square"]

_ORIENTATION = 0x0112
RESIZES = ("crop", "stretch")


def load_picture(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    min_side: int = 1,
    shrink: bool = True,
) -> Image.Image:
    """Read a picture as RGB of 8 bits, upright: `open_picture`, then `to_rgb`. Raises PictureError naming the file."""
    if name is None and isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
    with until_done():
        image = open_picture(source, name=name, max_pixels=max_pixels, min_side=min_side, shrink=shrink)
        try:
            return to_rgb(image)
        except PictureError as error:
            raise PictureError(f"{name or 'picture'}: {error}") from None


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn a picture of any mode upright and into mode "RGB", of sRGB; the image itself where it is that already.

    16-bit values are divided by 257, those of a PGM of mode I as well. Others of modes I and F have no agreed range: the
    narrowest of [0, 1] (F only), [0, 255] and [0, 65535] that holds them all is taken as black to white, else their least to
    their greatest. Transparency shows white.
    An ICC profile that comes with the picture is carried out, unless it is sRGB. Raises PictureError for values that are not
    finite and for modes that Pillow cannot convert.
    """
    stored, named = image.format, None if image.info.get("icc_profile") else named_by_exif(image)  # a copy has no format
    try:
        image = _upright(image)
        profile = image.info.get("icc_profile")
        profile = profile if isinstance(profile, bytes) else named
        if image.mode.startswith("I;16"):
            values = np.asarray(image)
            clear = image.info.get("transparency")  # of a PNG the one value that is transparent
            if isinstance(clear, int):
                values = np.where(values == clear, 65535, values)
            return _plain(Image.fromarray(to_8_bit(values, 0.0, 65535.0)), profile)
        if image.mode in ("I", "F"):
            values = np.asarray(image)
            # Of a PGM of more than 8 bits Pillow spreads the values over 16.
            limits = (0.0, 65535.0) if image.mode == "I" and stored == "PPM" else range_of(values)
            return _plain(Image.fromarray(to_8_bit(values, *limits)), profile)
        if image.mode == "La":
            image = image.convert("LA")
        if image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
            grey = image.mode in ("LA", "L", "1")
            image = image if image.mode == "RGBA" else image.convert("RGBA")
            alpha = image.getchannel("A")
            white = Image.new("RGB", image.size, "white")
            white.paste(_plain(image.getchannel("R"), profile) if grey and profile else _plain(image, profile), mask=alpha)
            return white
        return _plain(image, profile)
    except PictureError:
        raise
    except Exception as error:
        raise PictureError(f"cannot be converted from mode {image.mode!r} to RGB: {reason(error)}") from None


def _plain(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An image without transparency (that of RGBA is left out) as RGB, its colours those of sRGB."""
    if profile or image.mode == "LAB":
        if image.mode == "1":
            image = image.convert("L")
        elif image.mode not in ("L", "RGB", "CMYK", "LAB"):
            image = image.convert("RGB")
        image = to_srgb(image, profile)
    return image if image.mode == "RGB" else image.convert("RGB")


def to_square(image: Image.Image, size: int, *, channels: int = 3, resize: str = "crop") -> np.ndarray:
    """Resize an RGB picture to uint8 (size, size, channels) in [0, 255].

    `resize` "crop" takes the centre square first (offsets rounded down), "stretch" the whole picture. Bilinear, antialiased when
    it shrinks. `channels` 1 is luma (ITU-R BT.601) of the resized picture. Raises ValueError for another mode or setting.
    """
    if image.mode != "RGB":
        raise InputError(f"to_square takes a picture of mode 'RGB', not {image.mode!r}: pass it through to_rgb first")
    one_of("resize", resize, RESIZES)
    one_of("channels", channels, (1, 3))
    width, height = image.size
    if resize == "crop" and width != height:
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        # Not resize(box=), which would look past the edge, nor crop, which knows Pillow's own limit of pixels: the same by paste.
        square = Image.new("RGB", (side, side), None)
        square.paste(image, (-left, -top))
        image = square
    image = image.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image if channels == 3 else image.convert("L"))
    return np.ascontiguousarray(pixels.reshape(size, size, channels))


def _upright(image: Image.Image) -> Image.Image:
    try:
        image.load()
        if image.getexif().get(_ORIENTATION, 1) == 1:
            return image  # exif_transpose would copy it
        turned = ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, TypeError, KeyError, OSError, struct.error):
        return image  # the EXIF block is damaged, the picture is not
    return image if turned is None else turned
