"""Pictures in and out of a model: files, Pillow images, arrays and tensors in; tensors, arrays or Pillow images out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from soda.common.checks import one_of
from soda.common.errors import InputError
from soda.common.images import to_float, to_uint8
from soda.runtime.items import Item, as_image, named, squared
from soda.runtime.memory import until_done
from soda.runtime.preprocess import MAX_PIXELS, PictureError

ImageLike: TypeAlias = Item | Tensor
"""What the runtime takes as a picture, or a float tensor (C, S, S) in [-1, 1]."""

OUTPUTS = ("tensor", "array", "pil")


@dataclass(frozen=True)
class Format:
    """What pictures a model takes, and what is done about others."""

    size: int  # S, px
    channels: int  # 1 grey, 3 RGB
    resize: str  # how its training pictures were made square: crop | stretch
    fit: bool  # prepare pictures of another size or mode like those; else they are refused
    max_pixels: int = MAX_PIXELS  # of a file

    @property
    def mode(self) -> str:
        """Pillow's name of it."""
        return "L" if self.channels == 1 else "RGB"

    def refuse(self, name: str, found: str) -> PictureError:
        """The error about a picture that does not fit."""
        wanted = f"this model takes {self.size} x {self.size} px, mode {self.mode}"
        return PictureError(f"{name}: {found}; {wanted} (fit=True, or --fit, prepares it as the training pictures were)")


def is_single(pictures: ImageLike | Iterable[ImageLike]) -> bool:
    """Whether this is one picture; else it is several, of which there may be one."""
    if isinstance(pictures, Tensor):
        return pictures.ndim == 3
    if isinstance(pictures, np.ndarray):
        return pictures.ndim < 4
    return isinstance(pictures, (str, os.PathLike, Image.Image))


def read_pictures(pictures: ImageLike | Iterable[ImageLike], form: Format) -> Tensor:
    """One picture or several, of mixed kinds, as the model takes them: (B, C, S, S) in [-1, 1], channels_last.

    An array (N, H, W, C) or a tensor (N, C, S, S) is N pictures. Raises PictureError for a picture that cannot be read or that
    does not fit, TypeError for another type or dtype, ValueError for another shape, for tensors beyond [-1, 1], and for none.
    """
    if isinstance(pictures, Tensor):
        return _from_tensor("the tensor", pictures[None] if pictures.ndim == 3 else pictures, form)
    images = [_read(name, item, form) for name, item in named(pictures)]  # type: ignore[arg-type]
    if not images:
        raise InputError("not a single picture was given")
    return torch.cat(images)


def _read(name: str, item: Any, form: Format) -> Tensor:
    if isinstance(item, Tensor):
        return _from_tensor(name, item[None], form)
    with until_done():
        name, image = as_image(name, item, form.max_pixels)
        if not form.fit and (image.size != (form.size, form.size) or image.mode != form.mode):
            raise form.refuse(name, f"{image.width} x {image.height} px, mode {image.mode}")
        pixels = squared(name, image, size=form.size, channels=form.channels, resize=form.resize)
    return to_float(np.array(pixels)[None])  # a copy: Pillow's pixels are read-only, which torch warns about


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
