"""What the tests of the data part make their pictures and settings of."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image

if TYPE_CHECKING:  # the base install, with which the tests of the runtime run too, has no settings
    from soda.config import DatasetConfig

MakeConfig: TypeAlias = "Callable[..., DatasetConfig]"


def picture(seed: int, size: tuple[int, int] = (12, 10)) -> Image.Image:
    """An RGB picture of noise, different for every seed; size is (width, height)."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@dataclass(frozen=True)
class IdxSet:
    """A small Fashion-MNIST: its .gz files are in `folder`, their MD5 list is `sums`."""

    folder: Path
    sums: Path
    images: dict[str, np.ndarray]  # "train" (40, 28, 28), "t10k" (10, 28, 28)
    labels: dict[str, np.ndarray]


def snapshot(root: Path) -> dict[str, bytes]:
    """Every file under a folder: relative path -> bytes."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def bomb_png(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes whose header announces width x height px."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (width + 1) * 50, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
