"""Pictures in and out of a model: files, Pillow images, arrays and tensors in; tensors, arrays or Pillow images out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from soda.common.checks import one_of
from soda.common.errors import InputError
from soda.common.images import to_float, to_uint8
from soda.runtime.preprocess import PictureError, open_picture, to_rgb, to_square

Picture: TypeAlias = str | os.PathLike[str] | Image.Image | np.ndarray | Tensor
"""A file, a Pillow image, uint8 (H, W), (H, W, 1) or (H, W, 3), or a float tensor (C, S, S) in [-1, 1]."""

OUTPUTS = ("tensor", "array", "pil")
_KINDS = "a path, a Pillow image, a uint8 array or a tensor"


@dataclass(frozen=True)
class Format:
    """What pictures a model takes, and what is done about others."""

    size: int  # S, px
    channels: int  # 1 grey, 3 RGB
    resize: str  # how its training pictures were made square: crop | stretch
    fit: bool  # prepare pictures of another size or mode like those; else they are refused

    @property
    def mode(self) -> str:
        """Pillow's name of it."""
        return "L" if self.channels == 1 else "RGB"

    def refuse(self, name: str, found: str) -> PictureError:
        """The error about a picture that does not fit."""
        wanted = f"this model takes {self.size} x {self.size} px, mode {self.mode}"
        return PictureError(f"{name}: {found}; {wanted} (fit=True, or --fit, prepares it as the training pictures were)")


def is_single(pictures: Picture | Iterable[Picture]) -> bool:
    """Whether this is one picture; else it is several, of which there may be one."""
    if isinstance(pictures, Tensor):
        return pictures.ndim == 3
    if isinstance(pictures, np.ndarray):
        return pictures.ndim < 4
    return isinstance(pictures, (str, os.PathLike, Image.Image))


def read_pictures(pictures: Picture | Iterable[Picture], form: Format) -> Tensor:
    """One picture or several, of mixed kinds, as the model takes them: (B, C, S, S) in [-1, 1], channels_last.

    An array (N, H, W, C) or a tensor (N, C, S, S) is N pictures. Raises PictureError for a picture that cannot be read or that
    does not fit, TypeError for another type or dtype, ValueError for another shape, for tensors beyond [-1, 1], and for none.
    """
    if isinstance(pictures, (bytes, bytearray, memoryview, Mapping)) or not isinstance(
        pictures, Iterable | Image.Image | os.PathLike
    ):
        raise TypeError(f"cannot read pictures from an object of type {type(pictures).__name__}: pass {_KINDS}, or several")
    if isinstance(pictures, Tensor) and pictures.ndim == 4:
        return _from_tensor("the tensor", pictures, form)
    items: list[Any] = [pictures] if is_single(pictures) else list(pictures)  # type: ignore[arg-type]
    if not items:
        raise InputError("not a single picture was given")
    return torch.cat([_read("the picture" if len(items) == 1 else f"picture {i}", item, form) for i, item in enumerate(items)])


def _read(name: str, item: Any, form: Format) -> Tensor:
    if isinstance(item, Tensor):
        return _from_tensor(name, item[None], form)
    if isinstance(item, (str, os.PathLike)):
        name = os.fspath(item)
        image = open_picture(item)
    elif isinstance(item, Image.Image):
        image = item
    elif isinstance(item, np.ndarray):
        image = _from_array(name, item)
    else:
        raise TypeError(f"{name} is an object of type {type(item).__name__}; a picture is {_KINDS}")
    if not form.fit and (image.size != (form.size, form.size) or image.mode != form.mode):
        raise form.refuse(name, f"{image.width} x {image.height} px, mode {image.mode}")
    try:
        pixels = to_square(to_rgb(image), form.size, channels=form.channels, resize=form.resize)
    except PictureError as error:
        raise PictureError(f"{name}: {error}") from None
    return to_float(np.array(pixels)[None])  # a copy: Pillow's pixels are read-only, which torch warns about


def _from_array(name: str, array: np.ndarray) -> Image.Image:
    if array.dtype != np.uint8:
        raise TypeError(f"{name} has dtype {array.dtype}; an array is uint8, 0 to 255 (a tensor may be float, -1 to 1)")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or 0 in array.shape or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise InputError(f"{name} has shape {array.shape}; a picture is (H, W), (H, W, 1) or (H, W, 3), several are (N, H, W, C)")
    return Image.fromarray(np.ascontiguousarray(array))


def _from_tensor(name: str, images: Tensor, form: Format) -> Tensor:
    if not images.is_floating_point():
        raise TypeError(f"{name} has dtype {images.dtype}; a tensor of pictures is float, -1 to 1 (an array may be uint8)")
    wanted = (form.channels, form.size, form.size)
    if tuple(images.shape[1:]) != wanted or not len(images):
        raise InputError(f"{name} has shape {tuple(images.shape)}; this model takes (N, {', '.join(map(str, wanted))})")
    low, high = float(images.min()), float(images.max())
    if not (low >= -1.001 and high <= 1.001):  # also false for NaN
        raise InputError(f"{name} has values from {low:g} to {high:g}; pictures lie in [-1, 1]")
    return images.float().contiguous(memory_format=torch.channels_last)


def read_latents(z: Any, latent_dim: int) -> tuple[Tensor, bool]:
    """z, a tensor, array or list, as (B, D) float32, and whether it was (D,), of one picture.

    Raises ValueError for other shapes and for what is not finite.
    """
    latents = torch.as_tensor(z, dtype=torch.float32)
    batch = latents[None] if latents.ndim == 1 else latents
    if batch.ndim != 2 or batch.shape[1] != latent_dim or not len(batch):
        raise InputError(f"z has shape {tuple(latents.shape)}; this model takes (B, {latent_dim}) or ({latent_dim},)")
    if not bool(batch.isfinite().all()):
        raise InputError("z holds what is no finite number")
    return batch, latents.ndim == 1


def read_noise(x_T: Any, shape: tuple[int, ...]) -> Tensor:
    """x_T, a tensor, array or list, as `shape`; of one image the batch dimension may be missing. Raises ValueError for others."""
    noise = torch.as_tensor(x_T, dtype=torch.float32)
    noise = noise[None] if noise.ndim == 3 else noise
    if tuple(noise.shape) != shape:
        raise InputError(f"x_T has shape {tuple(noise.shape)}; for these z it is {shape}")
    return noise


def give(images: Tensor, output: str, *, single: bool) -> Any:
    """(B, C, S, S) in [-1, 1] as `output`: "tensor", "array" (uint8, (B, S, S, C)) or "pil" (a list of L or RGB images).

    single: the one picture itself in place of a batch of one. Raises ValueError for another output.
    """
    one_of("output", output, OUTPUTS)
    given: Any = images if output == "tensor" else to_uint8(images)
    if output == "pil":
        given = [to_pil(pixels) for pixels in given]
    return given[0] if single else given


def to_pil(pixels: np.ndarray) -> Image.Image:
    """(S, S, 1) or (S, S, 3) uint8 as an image of mode L or RGB."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
