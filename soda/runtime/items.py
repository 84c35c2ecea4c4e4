"""What a person hands to a model as pictures, as images of one size: paths, Pillow images and arrays, one or many, mixed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import numpy as np
from PIL import Image

from soda.common.errors import InputError
from soda.runtime.file_slice import FileSlice
from soda.runtime.memory import until_done
from soda.runtime.preprocess import MAX_PIXELS, PictureError, open_picture, to_rgb, to_square

Item: TypeAlias = str | os.PathLike[str] | FileSlice | Image.Image | np.ndarray
"""One picture: a file, a part of one, a Pillow image, or uint8 (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA."""

_KINDS = "a path, a Pillow image or a uint8 array"


def named(items: Item | Iterable[Item]) -> Iterator[tuple[str, Item]]:
    """Each picture with the name by which errors call it, in order. An array (N, H, W, C) is N pictures.

    Raises TypeError for what is neither a picture nor an iterable of them.
    """
    if isinstance(items, (str, os.PathLike, FileSlice, Image.Image)):
        yield "the picture", items
    elif isinstance(items, np.ndarray):
        if items.ndim == 4:
            _check_array("the array", items, many=True)
            yield from ((f"picture {i} of the array", picture) for i, picture in enumerate(items))
        else:
            yield "the array", items
    elif isinstance(items, (bytes, bytearray, memoryview, Mapping)) or not isinstance(items, Iterable):
        raise TypeError(f"cannot read pictures from an object of type {type(items).__name__}: pass {_KINDS}, or several")
    else:
        yield from ((f"item {i}", item) for i, item in enumerate(items))


def square_pixels(name: str, item: Item, *, size: int, resize: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """One picture as uint8 RGB (size, size, 3), prepared as the training pictures were. Raises what `as_image`, `squared` do."""
    if isinstance(item, np.ndarray) and item.shape == (size, size, 3) and item.dtype == np.uint8:
        return np.ascontiguousarray(item)
    with until_done():
        return squared(*as_image(name, item, max_pixels), size=size, resize=resize)


def as_image(name: str, item: Item, max_pixels: int = MAX_PIXELS) -> tuple[str, Image.Image]:
    """What errors call a picture (a file by its path), and the picture as a Pillow image in the mode and orientation that it has.

    max_pixels: of a file.

    Raises PictureError for a file that cannot be read, TypeError for another type or dtype, ValueError for another shape.
    """
    if isinstance(item, (str, os.PathLike)):
        return os.fspath(item), open_picture(item, max_pixels=max_pixels)
    if isinstance(item, FileSlice):
        return item.name, open_picture(item.open(), name=item.name, max_pixels=max_pixels)
    if isinstance(item, Image.Image):
        return name, item
    if not isinstance(item, np.ndarray):
        raise TypeError(f"{name} is an object of type {type(item).__name__}; a picture is {_KINDS}")
    _check_array(name, item, many=False)
    return name, Image.fromarray(np.ascontiguousarray(item[:, :, 0] if item.shape[2:] == (1,) else item))


def squared(name: str, image: Image.Image, *, size: int, channels: int = 3, resize: str) -> np.ndarray:
    """uint8 (size, size, channels) as `to_square` makes it of an image of any mode. Raises PictureError naming the picture."""
    if 0 in image.size:
        raise PictureError(f"{name} is of {image.width} x {image.height} px: a picture without pixels")
    try:
        return to_square(to_rgb(image), size, channels=channels, resize=resize)
    except PictureError as error:
        raise PictureError(f"{name}: {error}") from None
    except Exception as error:  # a lazily opened image fails only here, and decoders raise nearly anything
        raise PictureError(f"{name}: the image of {image.width} x {image.height} px cannot be read: {error}") from error


def _check_array(name: str, array: np.ndarray, *, many: bool) -> None:
    if array.dtype != np.uint8:
        raise TypeError(f"{name} has dtype {array.dtype}; a picture is uint8, 0 to 255")
    shape = array.shape[1:] if many else array.shape
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        wanted = "a picture is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), several are (N, H, W, 3)"
        raise InputError(f"{name} has shape {array.shape}; {wanted}")
    if 0 in shape:
        raise InputError(f"{name} has shape {array.shape}: a picture without pixels")
