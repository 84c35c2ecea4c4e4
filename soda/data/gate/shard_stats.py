"""A fresh reading of one shard of prepared pictures: checksum of the file, content hash and statistics of every picture in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from soda.common.files import file_sha256
from soda.data.near_copies import thumbnails

_BLOCK_BYTES = 8 << 20  # of pixels read at a time


@dataclass(frozen=True)
class ShardReading:
    """What one shard file holds. The arrays have one entry a picture, in shard order; none when it cannot be read."""

    file_sha256: str | None  # None: there is no such file
    problem: str | None  # why its pictures cannot be read
    pictures: int | None  # how many it holds
    sha256: list[str] = field(default_factory=list)  # hex, of each picture's bytes
    mean: np.ndarray = field(default_factory=lambda: np.empty(0))  # (n,) in [0, 1]
    std: np.ndarray = field(default_factory=lambda: np.empty(0))  # (n,) in [0, 0.5]
    min: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # (n,) 0 to 255
    max: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # (n,) 0 to 255
    spread: np.ndarray = field(default_factory=lambda: np.empty(0))  # (n,) in [0, 0.5], the std of the channel that varies most
    thumbs: np.ndarray | None = None  # (n, d) uint8, see near_copies.thumbnails


def read_shard(path: Path, *, image_size: int, channels: int) -> ShardReading:
    """Read a .npy file of (n, image_size, image_size, channels) uint8, block by block; memory does not grow with its size.

    Never raises for what the file holds: a missing, truncated or foreign file is described in `problem`.
    """
    try:
        digest = file_sha256(path)
    except OSError as error:
        return ShardReading(None, f"cannot be read: {error.strerror}", None)
    try:
        pictures = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        return ShardReading(digest, f"truncated or no shard of pictures: {error}", None)
    wanted = (image_size, image_size, channels)
    if not isinstance(pictures, np.ndarray) or pictures.dtype != np.uint8 or pictures.shape[1:] != wanted:
        what = f"{pictures.dtype} {pictures.shape}" if isinstance(pictures, np.ndarray) else type(pictures).__name__
        return ShardReading(digest, f"holds {what}, it should hold uint8 (n, {image_size}, {image_size}, {channels})", None)
    return _measure(pictures, digest)


def _measure(pictures: np.ndarray, digest: str) -> ShardReading:
    count, size = len(pictures), int(np.prod(pictures.shape[1:]))
    hashes: list[str] = []
    mean, std = np.empty(count), np.empty(count)
    low, high = np.empty(count, np.int64), np.empty(count, np.int64)
    spread = np.empty(count)
    thumbs = thumbnails(pictures[:1]).repeat(count, axis=0)
    block = max(1, _BLOCK_BYTES // size)
    for start in range(0, count, block):
        images = np.ascontiguousarray(pictures[start : start + block])
        pixels = images.reshape(-1, size)
        here = slice(start, start + len(pixels))
        hashes += [hashlib.sha256(row.tobytes()).hexdigest() for row in pixels]
        total = pixels.sum(1, dtype=np.int64)
        squares = np.square(pixels, dtype=np.int32).sum(1, dtype=np.int64)
        mean[here] = total / size / 255.0
        std[here] = np.sqrt(size * squares - total * total) / size / 255.0  # of whole numbers: exactly 0 for a flat picture
        low[here], high[here] = pixels.min(1), pixels.max(1)
        spread[here] = _spread(images, std[here])
        thumbs[here] = thumbnails(images)
    return ShardReading(digest, None, count, hashes, mean, std, low, high, spread, thumbs)


def _spread(images: np.ndarray, std: np.ndarray) -> np.ndarray:
    """The standard deviation of the channel that varies most: (n,), from (n, S, S, C) uint8 and their std of all channels."""
    if images.shape[3] == 1:
        return std
    places = images.shape[1] * images.shape[2]
    total = images.sum((1, 2), dtype=np.int64)  # (n, C)
    squares = np.square(images, dtype=np.int32).sum((1, 2), dtype=np.int64)
    return (np.sqrt(places * squares - total * total) / places / 255.0).max(axis=1)
