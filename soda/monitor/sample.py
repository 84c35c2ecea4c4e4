"""A sample of what an encoder has seen: z and a few statistics a picture; labels and pictures only where they were asked for.

On disk one .npz, written whole. `Reservoir` fills one from a stream: every picture of the stream is in it with the same chance.
"""

from __future__ import annotations

import json
import threading
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soda.common.files import file_sha256, whole_file
from soda.monitor import MonitorError
from soda.monitor.statistics import NAMES, statistics_of

if TYPE_CHECKING:
    from soda.runtime import Encoder

_BATCH = 256  # images that the encoder sees at once
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Sample:
    """z: (n, D) float32, raw. encoder: the SHA-256 of its file. seen: how many pictures these stand for.

    statistics: (n, 7), or (n, 0) where only vectors were kept. labels, files: (n,) str, "" where unknown. images: (n, S, S, 3)
    uint8, or (0, ...) without.
    """

    z: np.ndarray
    encoder: str
    seen: int
    statistics: np.ndarray
    labels: np.ndarray
    files: np.ndarray
    images: np.ndarray

    def __len__(self) -> int:
        return len(self.z)

    def rows(self, chosen: np.ndarray) -> Sample:
        images = self.images[chosen] if len(self.images) else self.images
        parts = (self.statistics[chosen], self.labels[chosen], self.files[chosen], images)
        return Sample(self.z[chosen], self.encoder, self.seen, *parts)

    def save(self, path: Path) -> None:
        about = json.dumps({"encoder": self.encoder, "seen": self.seen, "statistics": NAMES})
        arrays = {name: getattr(self, name) for name in ("z", "statistics", "labels", "files", "images")}
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, about=np.asarray(about), **arrays)


def identity(encoder: Encoder) -> str:
    """What tells one encoder from another: the SHA-256 of its weights, as its file says, or of the file."""
    return str(encoder.metadata.get("sha256") or file_sha256(encoder.path))


def sample_of(z: np.ndarray, encoder: str, *, images: np.ndarray | None = None, **known: Any) -> Sample:
    """A sample of these vectors. images: what they are of, from which the statistics are taken; they are not kept.

    known: `labels`, `files` (n,), `seen`.
    """
    count, unknown = len(z), np.full(len(z), "", dtype="<U1")
    statistics = np.empty((count, 0), np.float32) if images is None else statistics_of(images)
    labels, files = (np.asarray(known.get(name, unknown), dtype=str) for name in ("labels", "files"))
    return Sample(
        np.asarray(z, np.float32), encoder, known.get("seen", count), statistics, labels, files, np.empty((0, 1, 1, 3), np.uint8)
    )


def seen_by(encoder: Encoder, images: np.ndarray, **known: Any) -> Sample:
    """A sample of images, (n, S, S, 1 or 3) uint8, as this encoder sees them. known: as `sample_of` has it."""
    coloured = np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images
    z = [encoder.run(coloured[start : start + _BATCH]) for start in range(0, len(coloured), _BATCH)]
    return sample_of(np.concatenate(z), identity(encoder), images=coloured, **known)


def read_sample(path: Path) -> Sample:
    """Raises MonitorError naming a file that is no sample."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            parts = {name: arrays[name] for name in ("z", "statistics", "labels", "files", "images")}
            sample = Sample(encoder=str(about["encoder"]), seen=int(about["seen"]), **parts)
    except _DAMAGE as error:
        raise MonitorError(f"{path}: cannot be read as a sample ({error})") from None
    lengths = {len(getattr(sample, name)) for name in ("z", "statistics", "labels", "files")}
    if sample.z.ndim != 2 or len(lengths) != 1 or not np.isfinite(sample.z).all():
        raise MonitorError(f"{path}: cannot be read as a sample (its parts do not go together)")
    return sample


class Reservoir:
    """A uniform sample of a stream of any length (Vitter's algorithm R). One may add to it while another saves.

    size: rows kept. keep_images: the pictures too; nobody's pictures are written to disk unless this was asked for.
    """

    def __init__(self, size: int, encoder: str, *, keep_images: bool = False, seed: int = 0) -> None:
        self._size, self._encoder, self._keep_images = size, encoder, keep_images
        self._random = np.random.default_rng(seed)
        self._lock = threading.Lock()
        self._rows: dict[int | None, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self.seen = 0

    def add(self, images: np.ndarray, z: np.ndarray) -> None:
        """Images (n, S, S, 3) uint8 as the encoder got them, and their z (n, D)."""
        with self._lock:
            places = [self._place() for _ in range(len(z))]
            kept = [row for row, place in enumerate(places) if place is not None]
            if not kept:  # the longer the stream, the more often
                return
            for row, statistics in zip(kept, statistics_of(images[kept]), strict=True):
                image = images[row].copy() if self._keep_images else images[row, :0, :0].copy()
                self._rows[places[row]] = (z[row].copy(), statistics, image)

    def _place(self) -> int | None:
        """Where the next picture of the stream goes; None: nowhere."""
        self.seen += 1
        if self.seen <= self._size:
            return self.seen - 1
        place = int(self._random.integers(self.seen))
        return place if place < self._size else None

    def sample(self) -> Sample:
        """What is in it now. Raises MonitorError while it is empty."""
        with self._lock:
            rows = list(self._rows.values())
            seen = self.seen
        if not rows:
            raise MonitorError("no picture was seen yet")
        z, statistics, images = (np.stack(part) for part in zip(*rows, strict=True))
        unknown = np.full(len(rows), "", dtype="<U1")
        images = images if self._keep_images else np.empty((0, 1, 1, 3), np.uint8)
        return Sample(z.astype(np.float32), self._encoder, seen, statistics, unknown, unknown, images)
