"""A picture file to square uint8 pixels: the one preprocessing that preparation and deployment share (NumPy and Pillow only).

Whatever the file holds becomes RGB of 8 bits: turned as its EXIF says, the first frame of several, palettes looked up,
transparency over white, CMYK converted (Pillow undoes the inversion of Adobe's JPEGs), 16-bit, 32-bit and float values scaled.
"""

from __future__ import annotations

import os
import re
import struct
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from soda.common.checks import one_of
from soda.common.errors import InputError, SodaError
from soda.runtime.plugins import plugin_formats

MAX_PIXELS = 100_000_000
# Tried whatever the file is called; Pillow knows them all from 11.3 on. What runs a program (EPS) or decodes as it opens (ICO)
# is left out.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "DIB", "PPM", "JPEG2000", "AVIF")
RESIZES = ("crop", "stretch")
_BLOCK = 1 << 22  # values scaled at once, so that a large 16-bit picture needs little more than its own memory


class PictureError(SodaError, ValueError):
    """A picture that cannot be used; the message names the file (where there is one) and the reason."""


def open_picture(
    source: str | os.PathLike[str] | BinaryIO, *, name: str | None = None, max_pixels: int = MAX_PIXELS, min_side: int = 1
) -> Image.Image:
    """Decode the first frame of a picture, in the mode and orientation in which it is stored.

    `source` is a path or a binary file; `name` is what errors call it (by default its path). The size is read from the header,
    so that a picture of more than `max_pixels` pixels, or one with a side below `min_side` px, is never decoded. Pillow's own
    limit (twice `PIL.Image.MAX_IMAGE_PIXELS`) holds as well. Raises PictureError for these and for whatever cannot be read.
    """
    if name is None:
        name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else str(getattr(source, "name", "picture"))
    try:
        with Image.open(source, formats=FORMATS + plugin_formats()) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise PictureError(f"{width} x {height} px is more than the limit of {max_pixels:,} pixels")
            if min(width, height) < min_side:
                raise PictureError(f"{width} x {height} px is less than the limit of {min_side} px a side")
            image.load()
            return image
    except Image.DecompressionBombError as error:
        limit = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
        found = re.search(r"(\d+) pixels", str(error))
        size = f"{int(found[1]):,} pixels is" if found else "it has"
        raise PictureError(f"{name}: {size} more than the limit of {limit:,} pixels") from None
    except Exception as error:
        raise PictureError(f"{name}: {_reason(error)}") from None


def load_picture(
    source: str | os.PathLike[str] | BinaryIO, *, name: str | None = None, max_pixels: int = MAX_PIXELS, min_side: int = 1
) -> Image.Image:
    """Read a picture as RGB of 8 bits, upright: `open_picture`, then `to_rgb`. Raises PictureError naming the file."""
    if name is None and isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
    image = open_picture(source, name=name, max_pixels=max_pixels, min_side=min_side)
    try:
        return to_rgb(image)
    except PictureError as error:
        raise PictureError(f"{name or 'picture'}: {error}") from None


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn a picture of any mode upright and into mode "RGB".

    16-bit values are divided by 257. Those of modes I and F have no agreed range: the narrowest of [0, 1] (F only), [0, 255]
    and [0, 65535] that holds them all is taken as black to white, else their least to their greatest. Transparency shows white.
    Raises PictureError for values that are not finite and for modes that Pillow cannot convert.
    """
    try:
        image = _upright(image)
        if image.mode.startswith("I;16"):
            values = np.asarray(image)
            clear = image.info.get("transparency")  # of a PNG the one value that is transparent
            if isinstance(clear, int):
                values = np.where(values == clear, 65535, values)
            return Image.fromarray(_to_8_bit(values, 0.0, 65535.0)).convert("RGB")
        if image.mode in ("I", "F"):
            values = np.asarray(image)
            return Image.fromarray(_to_8_bit(values, *_range(values, image.mode))).convert("RGB")
        if image.mode == "La":
            image = image.convert("LA")
        if image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
            image = image.convert("RGBA")
            white = Image.new("RGB", image.size, "white")
            white.paste(image, mask=image.getchannel("A"))
            return white
        return image if image.mode == "RGB" else image.convert("RGB")
    except PictureError:
        raise
    except Exception as error:
        raise PictureError(f"cannot be converted from mode {image.mode!r} to RGB: {_reason(error)}") from None


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
        image = image.crop((left, top, left + side, top + side))  # crop, not resize(box=): that would look past the edge
    image = image.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image if channels == 3 else image.convert("L"))
    return np.ascontiguousarray(pixels.reshape(size, size, channels))


def _upright(image: Image.Image) -> Image.Image:
    try:
        turned = ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, TypeError, KeyError, OSError, struct.error):
        return image  # the EXIF block is damaged, the picture is not
    return image if turned is None else turned


def _range(values: np.ndarray, mode: str) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise PictureError("it holds values that are not finite (NaN or infinity)")
    for top in (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0):
        if low >= 0 and high <= top:
            return 0.0, top
    return low, high


def _to_8_bit(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map [low, high] linearly to [0, 255]: (H, W) of any number type -> (H, W) uint8, a block of rows at a time."""
    out = np.zeros(values.shape, np.uint8)
    scale = 255.0 / (high - low) if high > low else 0.0
    rows = max(1, _BLOCK // max(1, values.shape[1]))
    for start in range(0, values.shape[0], rows):
        block = (values[start : start + rows].astype(np.float64) - low) * scale
        out[start : start + rows] = np.clip(np.floor(block + 0.5), 0, 255)
    return out


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture of a format that is read here (" + ", ".join(FORMATS + plugin_formats()) + ")"
    if isinstance(error, MemoryError):
        return "decoding it needs more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = " ".join(str(error).split())
    if isinstance(error, (PictureError, OSError)):
        return text or type(error).__name__
    return f"damaged ({type(error).__name__}: {text})" if text else f"damaged ({type(error).__name__})"
