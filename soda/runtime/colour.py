"""Colours as sRGB has them: what a picture's ICC profile says is carried out by LittleCMS, which Pillow brings.

A profile that is sRGB, whatever its name, changes nothing: no pixel is touched.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

SAME = 2
"""Grey levels by which a profile may differ from sRGB anywhere and still be taken for it: its makers round differently."""

_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}
_LAB = b"Lab"  # in place of a profile: what mode LAB means by itself


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An image of mode L, RGB, CMYK or LAB as `profile` says it looks: RGB; the image itself where that changes nothing.

    A profile that is damaged, or of another kind than the image (CMYK in an RGB file), is passed over, as viewers do.
    """
    if image.mode == "LAB":
        profile = profile or _LAB
    if not profile:
        return image
    space = _space(profile)
    if space == "RGB" and image.mode == "L":
        image = image.convert("RGB")
    if space != image.mode:
        return image
    transform = _transform(profile, space)
    if transform is None:
        return image
    from PIL import ImageCms

    done = ImageCms.applyTransform(image, transform)
    return image if done is None else done


@lru_cache(maxsize=32)
def _space(profile: bytes) -> str:
    """The mode of images that the profile is for; "" for one that cannot be read, and where Pillow came without LittleCMS."""
    try:
        return _SPACES.get(_opened(profile).profile.xcolor_space, "")
    except Exception:  # LittleCMS reports damage in many ways, and none of them costs the picture
        return ""


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> Any:
    """From the profile to sRGB; None where that changes nothing or cannot be had. LittleCMS keeps no state between pixels, so
    that threads may share it."""
    try:
        from PIL import ImageCms

        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(_opened(profile), srgb, mode, "RGB", ImageCms.Intent.PERCEPTUAL)
        if mode in ("L", "RGB"):
            probe = _probe(mode)
            shown = np.asarray(ImageCms.applyTransform(probe, transform), np.int16)
            if np.abs(shown - np.asarray(probe.convert("RGB"), np.int16)).max() <= SAME:
                return None
        return transform
    except Exception:
        return None


def _opened(profile: bytes) -> Any:
    from PIL import ImageCms

    return ImageCms.createProfile("LAB") if profile == _LAB else ImageCms.ImageCmsProfile(io.BytesIO(profile))


def _probe(mode: str) -> Image.Image:
    """Every grey, and in RGB a grid of colours."""
    greys = np.arange(256, dtype=np.uint8)
    if mode == "L":
        return Image.fromarray(greys[None])
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    return Image.fromarray(np.concatenate([np.repeat(greys[:, None], 3, 1), grid])[None])
