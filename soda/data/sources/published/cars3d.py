"""Cars3D (Reed et al. 2015): data/cars/*.mat of nips2015-analogy-data.tar.gz, one file a car."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from soda.data.sources.base import SourceError
from soda.data.sources.published.records import Contents, MissingError, Record
from soda.data.sources.published.svhn import read_mat

FACTORS = ("car", "azimuth", "elevation")


def read_cars3d(root: Path) -> Contents:
    """183 cars of 24 azimuths and 4 elevations, 17,568 images of 128 px. No official split."""
    paths = sorted(path for folder in (root, root / "cars", root / "data" / "cars") for path in folder.glob("*.mat"))
    if not paths:
        raise MissingError(f"dataset.path: {root}: there is no .mat file in it, nor in data/cars")

    def records() -> Iterator[Record]:
        for number, path in enumerate(paths):
            images = read_mat(path).get("im")  # (height, width, channels, azimuths, elevations)
            if images is None or images.dtype != np.uint8 or images.ndim != 5 or images.shape[2] != 3:
                raise SourceError(f"{path}: holds no im of uint8 (height, width, 3, azimuths, elevations)")
            for azimuth in range(images.shape[3]):
                for elevation in range(images.shape[4]):
                    factors = {"car": f"{number:03d}", "azimuth": f"{azimuth:02d}", "elevation": str(elevation)}
                    name = f"{path.stem}-{azimuth:02d}-{elevation}"
                    where = f"{path.name}#{azimuth},{elevation}"
                    yield Record(name, "", factors["car"], "", images[..., azimuth, elevation], where, factors)

    return Contents(records(), FACTORS)
