"""Folders that grow by a few pictures a day: good ones, which must pass, and ones that go bad: docs/results/gate_growing.json.

`python -m benchmarks.gate_faults.growing` (a quarter of an hour; Fashion-MNIST must be in data/raw)
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gate_faults.judging import Place, Said
from benchmarks.gate_faults.worlds import Picture, World, changed, fashion, shapes
from soda.common.files import write_json
from soda.layout import RAW, RESULTS

FIRST, DAYS, BAD_DAYS = 400, 13, 8
DAILY = (5, 15, 40)  # pictures that come on one good day, in turns
BAD = 15  # on a bad one


def _inverted(pixels: np.ndarray) -> np.ndarray:
    return 255 - pixels


def _dark(pixels: np.ndarray) -> np.ndarray:
    return (pixels * 0.35).astype(np.uint8)


FAULTS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "15 inverted a day": (_inverted, 1.0),
    "15 taken with a dark lens a day": (_dark, 1.0),
    "15 a day, every other inverted": (_inverted, 0.5),
}
"""What is done to what comes, and to which share of it."""


def _start(world: World, place: Place, seed: int) -> tuple[list[Picture], list[Picture]]:
    """Have the first version accepted. Returns it, and what there is to grow by."""
    first, more = world.draw(seed, 1.0)[:FIRST], world.draw(seed + 1, 1.0)
    if world.labels:  # those of test come last
        drawn = world.draw(seed, 1.0)
        first = [drawn[n] for n in np.random.default_rng(seed).permutation(len(drawn))[:FIRST]]
        more = [more[n] for n in np.random.default_rng(seed).permutation(len(more))]
    place.judge(world, first)
    return first, more


def grow_well(world: World, place: Place, seed: int) -> list[dict[str, Any]]:
    """What is said of each day of a folder that only good pictures come to."""
    have, more = _start(world, place, seed)
    found = []
    for day in range(DAYS):
        come, more = more[: DAILY[day % len(DAILY)]], more[DAILY[day % len(DAILY)] :]
        have += come
        found.append(_row(world, day, len(have), place.judge(world, have)))
    return found


def go_bad(world: World, place: Place, seed: int, change: Callable[[np.ndarray], np.ndarray], share: float) -> dict[str, Any]:
    """Bad pictures every day, until they are stopped: on which day something is first said, and on which it is stopped."""
    have, more = _start(world, place, seed)
    days, random = [], np.random.default_rng(seed)
    for day in range(BAD_DAYS):
        come, more = more[:BAD], more[BAD:]
        have += changed(come, (random.random(BAD) < share).tolist(), change)
        days.append(_row(world, day, len(have), place.judge(world, have)))
        if days[-1]["how"] == "stop":
            break
    said = [day for day, row in enumerate(days, 1) if row["how"] != "nothing"]
    stopped = [day for day, row in enumerate(days, 1) if row["how"] == "stop"]
    return {
        "world": world.name,
        "said_on_day": min(said, default=None),
        "stopped_on_day": min(stopped, default=None),
        "days": days,
    }


def _row(world: World, day: int, count: int, said: Said) -> dict[str, Any]:
    row = {"world": world.name, "day": day + 1, "pictures": count, "how": said.how or "nothing"}
    row["said"] = [line[:300] for line in said.lines[:3]]
    print(row, flush=True)
    return row


def measure(raw: Path, folder: Path) -> dict[str, Any]:
    """The figures of gate_growing.json."""
    began = time.monotonic()
    worlds = [fashion(raw, True), fashion(raw, False), shapes(True), shapes(False)]
    clean = [row for world in worlds for row in grow_well(world, Place(folder / f"{world.name} good"), 3)]
    bad: dict[str, Any] = {}
    for name, (change, share) in FAULTS.items():
        bad[name] = [go_bad(world, Place(folder / f"{world.name} {name}"), 7, change, share) for world in worlds]
    return {
        "clean": len(clean),
        "false_stops": sum(row["how"] == "stop" for row in clean),
        "remarks": sum(row["how"] == "remark" for row in clean),
        "bad": bad,
        "seconds": round(time.monotonic() - began),
        "remarked": [row for row in clean if row["how"] != "nothing"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", type=Path, default=RAW, help="where the files of Fashion-MNIST are")
    parser.add_argument("--output", type=Path, default=RESULTS / "gate_growing.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(given.raw, Path(folder))
    write_json(given.output, figures)
    print({key: value for key, value in figures.items() if key not in ("bad", "remarked")})


if __name__ == "__main__":
    main()
