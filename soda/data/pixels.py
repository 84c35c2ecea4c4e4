"""The work of one preparation worker: load, make square, measure. It starts quickly: no torch, no pandas."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from soda.common.errors import SodaError
from soda.config import DatasetConfig
from soda.runtime.memory import until_done
from soda.runtime.picture_file import SEVERAL
from soda.runtime.preprocess import PictureError, open_picture, to_rgb, to_square

BLANK = "blank:"
"""How the reason begins when a picture is left out for showing nothing."""


class ChangedError(SodaError, ValueError):
    """A raw file that is no longer what was fetched; the message names it."""


class Loader(Protocol):
    """Reads one picture in a worker; must be picklable."""

    def __call__(self, settings: DatasetConfig) -> Image.Image:
        """The decoded picture as stored. Raises PictureError (its reason is listed) or ChangedError (preparation stops)."""


@dataclass(frozen=True, slots=True)
class FilePicture:
    """A picture in a file whose bytes were recorded when it was fetched."""

    path: Path
    name: str  # for messages
    sha256: str  # hex; "" when it could not be read even then
    problem: str = ""  # why it could not

    def __call__(self, settings: DatasetConfig) -> Image.Image:
        if self.problem:
            raise PictureError(f"{self.name}: {self.problem}")
        try:
            file = self.path.open("rb")
        except OSError as error:
            now = (error.strerror or str(error)).lower()
            raise ChangedError(f"{self.path}: it could be read when the data was fetched, now: {now}; fetch again") from None
        with file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.sha256:
                raise ChangedError(f"{self.path}: its bytes changed since the data was fetched; fetch again")
            file.seek(0)
            return open_picture(file, name=self.name, max_pixels=settings.max_pixels, min_side=settings.min_side)


@dataclass(frozen=True, slots=True)
class PixelsInFile:
    """Bare uint8 pixels somewhere in a file: `shape` is (height, width) grey or (height, width, 3) RGB, row by row."""

    path: Path
    offset: int  # bytes
    shape: tuple[int, ...]

    def __call__(self, settings: DatasetConfig) -> Image.Image:
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.offset)
            data = file.read(math.prod(self.shape))
        if len(data) != math.prod(self.shape):
            raise ChangedError(f"{self.path}: it became shorter while it was read; fetch again")
        return Image.fromarray(np.frombuffer(data, np.uint8).reshape(self.shape))


@dataclass(frozen=True, slots=True)
class Measured:
    """What the manifest records of one picture; width, height (px, upright) and mode are the original's.

    several: the file held more frames or pages than the one taken, which the summary counts.
    """

    sha256: str
    width: int
    height: int
    mode: str
    mean: float
    std: float
    several: bool = False

    def row(self) -> dict[str, Any]:
        """Its columns of the manifest."""
        return {name: getattr(self, name) for name in ("sha256", "width", "height", "mode", "mean", "std")}


def process(loaders: Sequence[Loader], names: Sequence[str], settings: DatasetConfig) -> tuple[list[Measured | str], np.ndarray]:
    """Prepare some pictures: for each what was measured, or the reason why it cannot be used; and the pixels of the former.

    Returns the list (as long as `loaders`) and (n, S, S, C) uint8, n being the number of Measured in it.
    """
    results: list[Measured | str] = []
    pictures: list[np.ndarray] = []
    with warnings.catch_warnings():  # about odd files
        warnings.simplefilter("ignore")
        for load, name in zip(loaders, names, strict=True):
            try:
                size, mode, several, pixels = _squared(load, settings)
            except PictureError as error:
                results.append(str(error).removeprefix(f"{name}: "))
                continue
            if (found := deviation(pixels)) < settings.min_std:
                results.append(f"{BLANK} grey levels deviate by {found:.5f} of the full range, less than {settings.min_std:g}")
                continue
            pictures.append(pixels)
            results.append(Measured(hashlib.sha256(pixels.tobytes()).hexdigest(), *size, mode, *statistics(pixels), several))
    shape = (0, settings.image_size, settings.image_size, settings.channels)
    return results, np.stack(pictures) if pictures else np.empty(shape, np.uint8)


def _squared(load: Loader, settings: DatasetConfig) -> tuple[tuple[int, int], str, bool, np.ndarray]:
    """Of one picture: its size upright, the stored mode, whether there were several, and its square (S, S, C) uint8. Whatever
    memory it took is free again afterwards. Raises what `load` and `to_rgb` raise."""
    with until_done():
        image = load(settings)
        mode, several = image.mode, SEVERAL in image.info
        rgb = to_rgb(image)
        return rgb.size, mode, several, to_square(rgb, settings.image_size, channels=settings.channels, resize=settings.resize)


def deviation(pixels: np.ndarray) -> float:
    """How much a picture (S, S, C) uint8 varies from place to place: the standard deviation of the channel that varies most, in
    grey levels of [0, 1]. That of a red wall is 0, though its channels differ."""
    return max(statistics(pixels[:, :, channel])[1] for channel in range(pixels.shape[2]))


def statistics(pixels: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of uint8 pixels as grey levels in [0, 1]; from whole-number sums, so the same everywhere."""
    values = pixels.astype(np.int64)
    count, total, squares = pixels.size, int(values.sum()), int((values * values).sum())
    variance = max(0, count * squares - total * total) / (count * count)
    return total / count / 255.0, variance**0.5 / 255.0
