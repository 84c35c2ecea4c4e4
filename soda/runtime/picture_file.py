"""A picture file opened and decoded: formats tried, limits held, and what Pillow alone would refuse or take wrong."""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, BinaryIO

from PIL import Image, UnidentifiedImageError

from soda.runtime import cost, jpeg, png, profiles
from soda.runtime.memory import take, until_done
from soda.runtime.picture_error import PictureError
from soda.runtime.pillows_limit import allowing
from soda.runtime.plugins import plugin_formats
from soda.runtime.tiff import read_tiff
from soda.runtime.tiff_layout import SIGNATURES as TIFFS
from soda.runtime.tiff_layout import for_pillow, layout_of

MAX_PIXELS = 200_000_000
JPEG_WHOLE = 100_000_000
"""A JPEG of more pixels is decoded at half its sides or less."""
LARGER = 4
"""So many times the pixels a JPEG may have, since it is decoded small."""
SEVERAL = "several_frames"
"""Key in an image's `info`: the file holds more frames or pages than this first one."""

# Tried whatever the file is called. Pillow knows AVIF from 11.3 on. What runs a program (EPS) or decodes as it opens (ICO) is
# left out.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "DIB", "PPM", "JPEG2000", "AVIF")


def open_picture(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    min_side: int = 1,
    shrink: bool = True,
) -> Image.Image:
    """Decode the first frame of a picture, in the orientation in which it is stored.

    `source` is a path or a binary file; `name` is what errors call it (by default its path). The size is read from the header,
    so that a picture of more than `max_pixels` pixels, one with a side below `min_side` px, or one that memory has no room for is
    never decoded; `max_pixels` counts, not Pillow's own limit. A JPEG of up to LARGER times as many is decoded small, unless
    `shrink` is False. `info` of an animation and of a file of several pages has SEVERAL.
    The mode is the stored one; of TIFFs that Pillow does not know, that of 8 bits. Raises PictureError for these and for whatever
    cannot be read.
    """
    if name is None:
        name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else str(getattr(source, "name", "picture"))
    try:
        with until_done(), ExitStack() as stack:
            if isinstance(source, (str, os.PathLike)):
                file: BinaryIO = stack.enter_context(open(source, "rb"))
            else:
                file = source if source.seekable() else io.BytesIO(source.read())
            try:
                return _decoded(file, max_pixels, min_side, shrink)
            except Image.DecompressionBombError as error:  # of a plugin that has Pillow's limit looked at as it opens: WebP, GIF
                if (_pixels_of(error) or 0) > max_pixels:
                    raise
                with allowing(max_pixels):
                    return _decoded(file, max_pixels, min_side, shrink)
    except Image.DecompressionBombError as error:
        found = _pixels_of(error)
        size = f"{found:,} pixels is" if found else "it has"
        raise PictureError(f"{name}: {size} more than the limit of {max_pixels:,} pixels") from None
    except Exception as error:
        raise PictureError(f"{name}: {reason(error)}") from None


def _decoded(file: BinaryIO, max_pixels: int, min_side: int, shrink: bool) -> Image.Image:
    file.seek(0)
    prefix = file.read(16)
    side, shown = None, file
    layout = layout_of(file) if prefix.startswith(TIFFS) else None
    if layout:
        shown = for_pillow(file, layout)
    elif prefix.startswith(png.SIGNATURE):
        shown, side = png.without_side_chunks(file)
    image = None
    if prefix.startswith(jpeg.SIGNATURE):
        image = _identified_jpeg(file)
    elif not layout or layout.is_pillows:
        image = _identified(shown)
    if image is None and layout:  # one that Pillow would take wrong, or does not know
        _check_size((layout.width, layout.height), max_pixels, min_side)
        _take_memory((layout.width, layout.height), cost.of_layout(layout))
        return _marked(read_tiff(file, layout), layout.several)
    if image is None:
        raise UnidentifiedImageError
    reducible = shrink and image.format in ("JPEG", "MPO")
    _check_size(image.size, max_pixels * (LARGER if reducible else 1), min_side, named=max_pixels)
    if reducible:
        _halve(image, min(max_pixels, JPEG_WHOLE))
    bits = side.depth if side is not None and side.clear else 0
    profile = profiles.beside(file, image.format)
    altered = bool(profile or (side is not None and (side.icc or side.code_points or side.orientation)))
    _take_memory(image.size, cost.of_image(image, clear=bits, altered=altered))
    several = image.format != "MPO" and getattr(image, "is_animated", False)  # an MPO's others are previews
    several = several or (side is not None and side.frames > 1) or (layout is not None and layout.several)
    with allowing(image.width * image.height):
        image.load()
    if profile and "icc_profile" not in image.info:
        image.info["icc_profile"] = profile
    if side is not None:
        image = png.finished(image, side, lambda: _identified(shown))
    return _marked(image, several)


def _marked(image: Image.Image, several: bool) -> Image.Image:
    if several:
        image.info[SEVERAL] = True
    return image


def _identified(file: Any) -> Any:
    """The file opened by the first of FORMATS, or of a plugin's, that takes it, undecoded; None where none does.

    As `Image.open` does it, but for its check of the size, which knows no other limit than one for the whole process.
    """
    Image.preinit()
    file.seek(0)
    prefix = file.read(16)
    for name in FORMATS + plugin_formats():
        if name not in Image.OPEN:
            Image.init()
        opener: tuple[Callable[..., Any], Callable[[bytes], Any] | None] | None = Image.OPEN.get(name)
        if opener is None:  # a Pillow without it
            continue
        factory, accept = opener
        try:
            accepted = accept is None or accept(prefix)
            if accepted and not isinstance(accepted, str):  # a text says what is missing to read it
                file.seek(0)
                return factory(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue
    return None


def _identified_jpeg(file: BinaryIO) -> Any:
    """As `_identified`; where Pillow stumbles over side segments it is shown fewer of them."""
    shown = file
    for kept in (jpeg.decides_looks, jpeg.decides_colours):
        with suppress(Exception):
            if (image := _identified(shown)) is not None:
                return image
        shown = jpeg.without_segments(file, kept)
    return _identified(shown)


def _pixels_of(error: Image.DecompressionBombError) -> int | None:
    found = re.search(r"(\d+) pixels", str(error))
    return int(found[1]) if found else None


def _check_size(size: tuple[int, int], max_pixels: int, min_side: int, *, named: int | None = None) -> None:
    width, height = size
    if width * height > max_pixels:
        raise PictureError(f"{width} x {height} px is more than the limit of {named or max_pixels:,} pixels")
    if min(width, height) < min_side:
        raise PictureError(f"{width} x {height} px is less than the limit of {min_side} px a side")


def _take_memory(size: tuple[int, int], each: int) -> None:
    """each: bytes of a pixel."""
    needed = size[0] * size[1] * each
    if (left := take(needed)) is not None:
        raise PictureError(
            f"{size[0]} x {size[1]} px takes up to {needed / 1e9:.1f} GB of memory to decode, and {left / 1e9:.1f} GB are free"
        )


def _halve(image: Any, most: int) -> None:
    """Have a JPEG decoded at 1/2, 1/4 or 1/8 of its sides, whichever first has no more pixels than `most`."""
    width, height = image.size
    for scale in (1, 2, 4, 8):
        if -(-width // scale) * -(-height // scale) <= most:
            break
    if scale > 1:
        image.draft(None, (width // scale, height // scale))


def reason(error: Exception) -> str:
    """Why a picture cannot be read, in one line."""
    if isinstance(error, UnidentifiedImageError):
        known = ", ".join(name for name in FORMATS + plugin_formats() if name in Image.OPEN)
        return f"not a picture of a format that is read here ({known})"
    if isinstance(error, MemoryError):
        return "decoding it needs more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = " ".join(str(error).split())
    if isinstance(error, (PictureError, OSError)):
        return text or type(error).__name__
    return f"damaged ({type(error).__name__}: {text})" if text else f"damaged ({type(error).__name__})"
