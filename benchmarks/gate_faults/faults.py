"""The faults: seventeen that a gate of exact hashes and two numbers let through for the most part, and ten more."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from benchmarks.drawn import drawn
from benchmarks.gate_faults.worlds import Picture, World, changed, encoded

Pictures = list[Picture]
Planted = tuple[Pictures, set[str]]
"""The pictures, and the places of those that are to be named; none where the whole distribution is another."""


@dataclass(frozen=True)
class Fault:
    """plant: makes a good draw of a world a bad one; alter: does so with prepared data. The rest says where it can be."""

    name: str
    plant: Callable[[Pictures, World, np.random.Generator], Planted] = lambda pictures, world, random: (pictures, set())
    alter: Callable[[Path], None] | None = None
    labels: bool = False  # it needs some
    colours: bool = False
    own: bool = False  # one of the ten
    splits: bool = False  # it needs folders called train and test
    settings: tuple[str, ...] = field(default=())

    def fits(self, world: World) -> bool:
        return (bool(world.labels) or not (self.labels or self.splits)) and (world.channels == 3 or not self.colours)


def _of(pictures: Pictures, split: str) -> list[int]:
    return [row for row, each in enumerate(pictures) if each.split in (split, "")]


def _copies(make: Callable[[Picture, np.random.Generator], Picture]) -> Callable[..., Planted]:
    def plant(pictures: Pictures, world: World, random: np.random.Generator) -> Planted:
        chosen = [pictures[row] for row in random.choice(_of(pictures, "test"), 6, replace=False)]
        made = [replace(make(each, random), split="train", name=f"again-{each.name}") for each in chosen]
        return pictures + made, {each.place for each in (*chosen, *made)}

    return plant


def _one_pixel(picture: Picture, random: np.random.Generator) -> Picture:
    pixels = picture.pixels.copy()
    pixels[tuple(random.integers(4, 20, 2))] ^= 0xFF
    return replace(picture, pixels=pixels)


def _as_jpeg(picture: Picture, random: np.random.Generator) -> Picture:
    return replace(picture, data=encoded(picture.pixels, "JPEG", quality=85), ending="jpg")


def _resaved(pixels: np.ndarray, quality: int = 90) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded(pixels, "JPEG", quality=quality))))


def _permuted(share: float) -> Callable[..., Planted]:
    def plant(pictures: Pictures, world: World, random: np.random.Generator) -> Planted:
        rows = [row for row in _of(pictures, "train") if random.random() < share]
        labels = [pictures[row].label for row in random.permutation(rows)]
        planted = list(pictures)
        for row, label in zip(rows, labels, strict=True):
            planted[row] = replace(pictures[row], label=label)
        return planted, {planted[row].place for row in rows if planted[row].label != pictures[row].label}

    return plant


def _whole(change: Callable[[np.ndarray], np.ndarray], share: float = 1.0) -> Callable[..., Planted]:
    def plant(pictures: Pictures, world: World, random: np.random.Generator) -> Planted:
        return changed(pictures, (random.random(len(pictures)) < share).tolist(), change), set()

    return plant


def _of_class(change: Callable[[Pictures, World, np.random.Generator], Pictures]) -> Callable[..., Planted]:
    """Of the second class alone."""

    def plant(pictures: Pictures, world: World, random: np.random.Generator) -> Planted:
        of_it = [each for each in pictures if each.kind == 1]
        return [each for each in pictures if each.kind != 1] + change(of_it, world, random), set()

    return plant


def _keep(share: float) -> Callable[..., Pictures]:
    def thin(pictures: Pictures, world: World, random: np.random.Generator) -> Pictures:
        several = [each for each in pictures if each.split != "test"]
        return several[: max(1, round(share * len(several)))] if share else []

    return thin


def _exchanged(pictures: Pictures, world: World, random: np.random.Generator) -> Planted:
    first, second = world.labels[1], world.labels[2]
    names = {first: second, second: first}
    return [replace(each, label=names.get(each.label, each.label)) for each in pictures], set()


def _broken(pictures: Pictures, world: World, random: np.random.Generator) -> Planted:
    rows = set(random.choice(len(pictures), len(pictures) * 6 // 10, replace=False).tolist())
    planted = [replace(each, data=encoded(each.pixels)[:40]) if row in rows else each for row, each in enumerate(pictures)]
    return planted, {planted[row].place for row in rows}


def _flat(pictures: Pictures, world: World, random: np.random.Generator) -> Planted:
    rows = random.choice(len(pictures), 12, replace=False).tolist()
    planted = changed(pictures, [row in rows for row in range(len(pictures))], lambda pixels: np.full_like(pixels, 90))
    return planted, {planted[row].place for row in rows}


def _unknown_label(pictures: Pictures, world: World, random: np.random.Generator) -> Planted:
    rows = random.choice(_of(pictures, "test"), 5, replace=False).tolist()
    planted = [replace(each, label="zebra") if row in rows else each for row, each in enumerate(pictures)]
    return planted, {planted[row].place for row in rows}


def _watermark(pictures: Pictures, world: World, random: np.random.Generator) -> Pictures:
    def mark(pixels: np.ndarray) -> np.ndarray:
        marked = pixels.copy()
        marked[1:4, -7:-1] = 255
        return marked

    return changed(pictures, [True] * len(pictures), mark)


def _foreign(pictures: Pictures, world: World, random: np.random.Generator) -> Pictures:
    """Other pictures under the class's name: shapes in fashion, plain noise among shapes."""
    if world.channels == 1:
        images = drawn(random, random.integers(0, 5, len(pictures)), world.size).mean(axis=3).astype(np.uint8)
    else:
        coarse = random.integers(0, 256, (len(pictures), 4, 4, 3), dtype=np.uint8)
        images = np.repeat(np.repeat(coarse, world.size // 4, axis=1), world.size // 4, axis=2)
    return [replace(each, pixels=image) for each, image in zip(pictures, images, strict=True)]


def _val_is_train(pictures: Pictures, world: World, random: np.random.Generator) -> Planted:
    again = [
        replace(pictures[row], split="val", name=f"v{pictures[row].name}", pixels=_resaved(pictures[row].pixels))
        for row in random.choice(_of(pictures, "train"), 200, replace=False)
    ]
    return pictures + again, {each.place for each in again}


def _twice(pictures: Pictures, world: World, random: np.random.Generator) -> Pictures:
    return pictures + [replace(each, label="a second name", name=f"{each.name}b") for each in pictures]


def _edited(column: str, value: object) -> Callable[[Path], None]:
    def alter(prepared: Path) -> None:
        path = prepared / "manifest.parquet"
        manifest = pd.read_parquet(path)
        manifest.loc[3, column] = value
        manifest.to_parquet(path, index=False)

    return alter


def _flipped(prepared: Path) -> None:
    path = prepared / "shards/00000.npy"
    data = bytearray(path.read_bytes())
    data[-100] ^= 0x40
    path.write_bytes(data)


def _filtered(change: Callable[[Image.Image], Image.Image]) -> Callable[..., Planted]:
    return _whole(lambda pixels: np.asarray(change(Image.fromarray(pixels))))


def _tiny(image: Image.Image) -> Image.Image:
    small = image.resize((image.width // 3, image.height // 3), Image.Resampling.BILINEAR)
    return small.resize(image.size, Image.Resampling.BILINEAR)


def _grey(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)


def faults() -> Iterator[Fault]:
    """All but the one of the whole of Fashion-MNIST, which is planted in its own files."""
    yield Fault("a test picture in train, a pixel changed", _copies(_one_pixel), splits=True)
    yield Fault("a test picture in train, as JPEG", _copies(_as_jpeg), splits=True)
    yield Fault("a test picture in train, as it is", _copies(lambda picture, _: picture), splits=True)
    yield Fault("labels of a third permuted", _permuted(1 / 3), labels=True)
    yield Fault("a class missing", _of_class(_keep(0)))
    yield Fault("one class 80 times rarer", _of_class(_keep(1 / 80)))
    yield Fault("inverted", _whole(lambda pixels: 255 - pixels))
    yield Fault("red and blue swapped", _whole(lambda pixels: pixels[..., ::-1].copy()), colours=True)
    yield Fault("shifted by an eighth", _whole(lambda pixels: np.roll(pixels, len(pixels) // 8, axis=(0, 1))))
    yield Fault("half of them grey", _whole(_grey, 0.5), colours=True)
    yield Fault("six tenths of the files cut short", _broken)
    yield Fault("pictures of one colour", _flat, settings=("dataset.min_std=0", "gate.min_std=0.005"))
    yield Fault("a label in test that train has not", _unknown_label, labels=True)
    yield Fault("a shard altered after preparation", alter=_flipped)
    yield Fault("a label edited in the manifest", alter=_edited("label", "zebra"), labels=True)
    yield Fault("a split edited in the manifest", alter=_edited("split", "val"))
    yield Fault("blurred", _filtered(lambda image: image.filter(ImageFilter.BoxBlur(1))), own=True)
    yield Fault("enlarged from a third of the size", _filtered(_tiny), own=True)
    yield Fault("a watermark on one class", _of_class(_watermark), own=True)
    yield Fault("a class once more under another name", _of_class(_twice), labels=True, own=True)
    yield Fault("turned by a quarter", _whole(lambda pixels: np.rot90(pixels).copy()), own=True)
    yield Fault("darkened by a fifth", _whole(lambda pixels: (pixels * 0.8).astype(np.uint8)), own=True)
    yield Fault("the names of two classes exchanged", _exchanged, labels=True, own=True)
    yield Fault("one class from another source", _of_class(_foreign), own=True)
    yield Fault("val is train, saved again", _val_is_train, splits=True, own=True)
    yield Fault("cut to eight grey levels", _whole(lambda pixels: pixels // 32 * 32 + 16), own=True)
