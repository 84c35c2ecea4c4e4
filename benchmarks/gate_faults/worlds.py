"""The worlds that faults are planted in, and folders of their pictures."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.drawn import SHAPES, drawn
from soda.data.sources.fashion_mnist import CLASSES


@dataclass(frozen=True)
class Picture:
    """A picture of a folder. pixels: (S, S) or (S, S, 3) uint8; data: the file's bytes, where they are no PNG of these pixels."""

    split: str  # "" where the folder names none
    label: str  # "" where nobody labelled it
    kind: int  # what it shows, also where nobody says so
    name: str
    pixels: np.ndarray
    data: bytes | None = None
    ending: str = "png"

    @property
    def place(self) -> str:
        return "/".join(part for part in (self.split, self.label.replace("/", " or "), f"{self.name}.{self.ending}") if part)


@dataclass(frozen=True)
class World:
    """draw: pictures of a seed, so many times as usual; seeds next to each other share none."""

    name: str
    size: int
    channels: int
    labels: Sequence[str]  # () where nobody labelled
    draw: Callable[[int, float], list[Picture]]


def write_folder(pictures: Sequence[Picture], folder: Path) -> Path:
    """Replace the folder by one that holds these pictures."""
    shutil.rmtree(folder, ignore_errors=True)
    for picture in pictures:
        path = folder / picture.place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture.pixels) if picture.data is None else picture.data)
    return folder


def encoded(pixels: np.ndarray, kind: str = "PNG", **settings: int) -> bytes:
    """The bytes of a file of that kind."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **({"compress_level": 1} if kind == "PNG" else settings))
    return file.getvalue()


def idx(raw: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) uint8 and labels (N,) of Fashion-MNIST: part train or t10k."""
    images = np.fromfile(raw / f"{part}-images-idx3-ubyte", np.uint8, offset=16).reshape(-1, 28, 28)
    return images, np.fromfile(raw / f"{part}-labels-idx1-ubyte", np.uint8, offset=8)


def fashion(raw: Path, labelled: bool) -> World:
    """Subsets of Fashion-MNIST: seed n has pictures that no other seed has."""
    images, numbers = idx(raw, "train")
    tests, of_tests = idx(raw, "t10k")
    order, test_order = (np.random.default_rng(5).permutation(len(each)) for each in (images, tests))

    def draw(seed: int, size: float = 1.0) -> list[Picture]:
        many, few = (2000, 240) if labelled else (1500, 0)
        here = order[(seed * many) % 58_000 :][: round(many * size)]
        there = test_order[(seed * few) % 9_600 :][: round(few * size)]
        label = (lambda number: CLASSES[number]) if labelled else (lambda number: "")
        split = ("train", "test") if labelled else ("", "")
        found = [Picture(split[0], label(numbers[row]), int(numbers[row]), f"{row:05d}", images[row]) for row in here.tolist()]
        return found + [
            Picture(split[1], label(of_tests[row]), int(of_tests[row]), f"t{row:05d}", tests[row]) for row in there.tolist()
        ]

    return World("fashion" if labelled else "fashion without labels", 32, 1, CLASSES if labelled else (), draw)


def shapes(labelled: bool) -> World:
    """Drawn shapes in colours."""

    def draw(seed: int, size: float = 1.0) -> list[Picture]:
        random = np.random.default_rng((21, seed, labelled))
        kinds = random.integers(0, len(SHAPES), round(1250 * size))
        images, tested = drawn(random, kinds), random.random(len(kinds)) < 0.2
        if not labelled:
            return [Picture("", "", int(kinds[n]), f"{seed}-{n:04d}", image) for n, image in enumerate(images)]
        splits = np.where(tested, "test", "train").tolist()
        rows = enumerate(zip(splits, kinds.tolist(), images, strict=True))
        return [Picture(split, SHAPES[kind], kind, f"{seed}-{n:04d}", image) for n, (split, kind, image) in rows]

    return World("shapes" if labelled else "shapes without labels", 24, 3, SHAPES if labelled else (), draw)


def changed(pictures: Sequence[Picture], which: Sequence[bool], change: Callable[[np.ndarray], np.ndarray]) -> list[Picture]:
    """The same with other pixels where `which` says so."""
    pairs = zip(pictures, which, strict=True)
    return [replace(each, pixels=change(each.pixels)) if chosen else each for each, chosen in pairs]
