"""A worker of the preparation makes of a file what `Encoder.embed` makes of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from soda.data.pixels import FilePicture, Measured, process
from soda.runtime.items import square_pixels
from tests.support.samples import MakeConfig

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8))


def prepared(path: Path, config: MakeConfig) -> tuple[Measured | str, np.ndarray]:
    """What is noted of one picture, and its pixels (n, S, S, 3)."""
    picture = FilePicture(path, path.name, hashlib.sha256(path.read_bytes()).hexdigest())
    results, pixels = process([picture], [path.name], config(max_pixels=24 * 40))
    return results[0], pixels


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_the_limit_is_that_of_the_settings_and_not_pillows(
    tmp_path: Path, name: str, dataset_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    NOISE.save(tmp_path / name)
    wanted = square_pixels("", tmp_path / name, size=8, resize="crop")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    noted, pixels = prepared(tmp_path / name, dataset_config)
    assert isinstance(noted, Measured) and (noted.width, noted.height) == (40, 24)
    np.testing.assert_array_equal(pixels[0], wanted)
    assert Image.MAX_IMAGE_PIXELS == 100
