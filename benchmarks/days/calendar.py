"""What comes on which day, and what becomes of it where all goes well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.drawn import SHAPES, drawn
from benchmarks.gate_faults.worlds import Picture, encoded

DAYS, SIZE = 200, 16
FIRST, BATCH = 600, 80  # pictures of the first day, and of a later one
GOOD = (1, 14, 50, 96, 150)
ROLLBACKS = {100: "an alarm of the users: back", 160: "the alarm was a false one: forth again"}
SERVER_LOSS = 96
TIDY = (60, 120, 180)
DRIFT = {90: True, 165: False, 170: True}

Make = Callable[[np.random.Generator], list[Picture]]


@dataclass(frozen=True)
class Day:
    """One day. made: the pictures that come; wanted: whether they are to be taken in."""

    number: int
    what: str
    make: Make | None = None
    wanted: bool = True


def batch(random: np.random.Generator, day: int, count: int = BATCH) -> list[Picture]:
    """Good pictures of that day, under the folders of their labels."""
    kinds = random.integers(0, len(SHAPES), count)
    images = drawn(random, kinds, SIZE)
    rows = enumerate(zip(kinds.tolist(), images, strict=True))
    return [Picture("", SHAPES[kind], kind, f"d{day:03d}-{number:03d}", image) for number, (kind, image) in rows]


def _with(change: Callable[[list[Picture], np.random.Generator], list[Picture]]) -> Callable[[int], Make]:
    return lambda day: lambda random: change(batch(random, day), random)


def _pixels(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[int], Make]:
    return _with(lambda pictures, _: [Picture("", p.label, p.kind, p.name, change(p.pixels)) for p in pictures])


def _mislabelled(pictures: list[Picture], random: np.random.Generator) -> list[Picture]:
    wrong = [(p.kind + int(random.integers(1, len(SHAPES)))) % len(SHAPES) for p in pictures]
    return [Picture("", SHAPES[kind], kind, p.name, p.pixels) for p, kind in zip(pictures, wrong, strict=True)]


BAD = {
    "files cut short": _with(lambda pictures, _: [_file(p, encoded(p.pixels)[:60]) for p in pictures]),
    "empty files": _with(lambda pictures, _: [_file(p, b"") for p in pictures]),
    "a dark lens": _pixels(lambda pixels: (pixels * 0.35).astype(np.uint8)),
    "labels mixed up": _with(_mislabelled),
    "red and blue swapped": _pixels(lambda pixels: pixels[..., ::-1].copy()),
    "inverted pictures": _pixels(lambda pixels: 255 - pixels),
}
"""Kinds of bad batches, which are to be set aside."""


def _file(picture: Picture, data: bytes) -> Picture:
    return Picture("", picture.label, picture.kind, picture.name, picture.pixels, data)


def again(random: np.random.Generator) -> list[Picture]:
    """Pictures of the first day under other names: nothing is to be learned from them."""
    first = batch(np.random.default_rng((6, 1)), 1, FIRST)[:BATCH]
    return [Picture("", p.label, p.kind, f"z{p.name}", p.pixels) for p in first]


def calendar() -> list[Day]:
    """All days in order."""
    bad = dict(zip(range(20, DAYS, 17), [name for _ in range(3) for name in BAD], strict=False))
    days = []
    for number in range(1, DAYS + 1):
        if number in GOOD:
            count = FIRST if number == 1 else BATCH
            days.append(Day(number, f"{count} good pictures", lambda random, n=number, c=count: batch(random, n, c)))
        elif number in bad:
            days.append(Day(number, bad[number], BAD[bad[number]](number), wanted=False))
        elif number in (35, 125):
            days.append(Day(number, "copies of old pictures", again))
        elif number in ROLLBACKS:
            days.append(Day(number, ROLLBACKS[number]))
        elif number in TIDY:
            days.append(Day(number, "tidying"))
        elif number in DRIFT:
            days.append(Day(number, "a look for drift"))
        else:
            days.append(Day(number, "nothing comes"))
    return days
