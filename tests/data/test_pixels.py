"""A worker of the preparation makes of a file what `Encoder.embed` makes of it."""

from __future__ import annotations

import hashlib
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from soda.data.pixels import FilePicture, Measured, process
from soda.runtime import memory
from soda.runtime.items import square_pixels
from tests.support import tiffs
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


def stored(values: np.ndarray, **about: Any) -> bytes:
    return tiffs.tiff(values, tiffs.Stored(**about))


def saved(format: str, mode: str = "RGB", **settings: Any) -> bytes:
    buffer = io.BytesIO()
    NOISE.convert(mode).save(buffer, format, **settings)
    return buffer.getvalue()


GREYS = np.tile(np.arange(40.0), (24, 1))[:, :, None]
ODD = {
    "a cut side chunk.png": saved("PNG")[:-12] + struct.pack(">I", 90) + b"tEXtcut",
    "a part of a profile.jpg": saved("JPEG")[:2] + b"\xff\xe2\0\x0eICC_PROFILE\0" + saved("JPEG")[2:],
    "dark.pgm": b"P5 40 24 65535\n" + GREYS.astype(">u2").tobytes(),
    "big.tif": stored(GREYS, bits=8, order=">", big=True),
    "12 of 16 bits.tif": stored(GREYS * 100, bits=16, more={281: (3, (4095,))}),
    "pages.tif": stored(GREYS * 100, bits=12, pages=2),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_prepared_as_they_are_embedded(tmp_path: Path, name: str, dataset_config: MakeConfig) -> None:
    path = tmp_path / name
    path.write_bytes(ODD[name])
    noted, pixels = prepared(path, dataset_config)
    assert isinstance(noted, Measured), noted
    np.testing.assert_array_equal(pixels[0], square_pixels("", path, size=8, resize="crop"))
    assert noted.several == (name == "pages.tif")
    assert (pixels.max() <= 1) == (name == "dark.pgm")


def test_memory_is_asked_for_and_given_back(tmp_path: Path, dataset_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tif").write_bytes(stored(np.repeat(GREYS, 3, 2), bits=64, kind=tiffs.FLOAT, photometric=2))
    monkeypatch.setattr(memory, "UNASKED", 0)
    for left in (40 * 24 * 70, 10**9):
        monkeypatch.setattr(memory, "available_memory", lambda left=left: left)
        noted, pixels = prepared(tmp_path / "a.tif", dataset_config)
        assert len(pixels) == (left == 10**9)
        assert isinstance(noted, Measured) or noted.startswith("40 x 24 px takes up to")
