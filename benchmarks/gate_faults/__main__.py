"""Plants every fault in every world that it fits, and has as many good folders judged."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gate_faults.faults import Fault, faults
from benchmarks.gate_faults.judging import Place, whole_fashion
from benchmarks.gate_faults.worlds import World, fashion, shapes
from soda.common.files import write_json
from soda.layout import RAW, RESULTS

CLEAN, FIRST = 11, 6  # further draws of each world; folders that are compared with no other
PERMUTED = 10_000


def plant_all(world: World, place: Place, chosen: Sequence[Fault]) -> dict[str, dict[str, Any]]:
    """What is said of each fault in a draw of this world, after another draw of it was accepted."""
    place.judge(world, world.draw(0, 1.0))
    place.keep()
    found = {}
    for number, fault in enumerate(chosen):
        if not fault.fits(world):
            continue
        pictures, planted = fault.plant(world.draw(1 + number, 1.0), world, np.random.default_rng((4, number)))
        found[fault.name] = place.judge(world, pictures, fault.settings, fault.alter).about(planted)
        place.forget()
        print(f"{world.name}: {fault.name}: {found[fault.name]}", flush=True)
    return found


def judge_clean(world: World, place: Place, count: int, *, first: bool) -> list[dict[str, Any]]:
    """What is said of good draws of 0.7 to 1.3 times the size, one after the other; first: each as the first of its data set."""
    found = []
    for number in range(count):
        size = 0.7 + 0.6 * number / max(1, count - 1)
        where = Place(place.folder / f"first-{number}") if first else place
        said = where.judge(world, world.draw(40 + number, size))
        found.append({"world": world.name, "first": first, "how": said.how or "nothing", "said": [*said.lines]})
        print(f"{world.name}: clean: {said.how} {said.lines}", flush=True)
    return found


def measure(raw: Path, folder: Path, *, whole: bool) -> dict[str, Any]:
    """The figures of gate_faults.json."""
    began, chosen = time.monotonic(), list(faults())
    worlds = [fashion(raw, True), fashion(raw, False), shapes(True), shapes(False)]
    seen: dict[str, dict[str, Any]] = {fault.name: {} for fault in chosen}
    clean = []
    for world in worlds:
        place = Place(folder / world.name)
        for name, said in plant_all(world, place, chosen).items():
            seen[name][world.name] = said
        clean += judge_clean(world, place, CLEAN, first=False)
    for world in worlds:
        clean += judge_clean(world, Place(folder / world.name), FIRST // 4 + (world in worlds[:2]), first=True)
    own = {fault.name: fault.own for fault in chosen}
    if whole:
        name = f"{PERMUTED:,} labels of Fashion-MNIST permuted"
        before, after = whole_fashion(Place(folder / "whole"), raw, PERMUTED)
        seen[name], own[name] = {"fashion, all of it": after.about(set())}, False
        clean.append({"world": "fashion, all of it", "first": True, "how": before.how or "nothing", "said": [*before.lines]})
    each = [
        {"fault": name, "of_our_own": own[name], "seen": all(one["seen"] for one in said.values()), "in": said}
        for name, said in seen.items()
    ]
    return {
        "planted": len(each),
        "seen": sum(one["seen"] for one in each),
        "folders_with_faults": sum(len(one["in"]) for one in each),
        "folders_seen": sum(said["seen"] for one in each for said in one["in"].values()),
        "clean": len(clean),
        "false_stops": sum(one["how"] == "stop" for one in clean),
        "remarks": sum(one["how"] == "remark" for one in clean),
        "seconds": round(time.monotonic() - began),
        "each": each,
        "remarked": [one for one in clean if one["how"] != "nothing"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", type=Path, default=RAW, help="where the files of Fashion-MNIST are")
    parser.add_argument("--without-whole", action="store_true", help="leave out the fault in all of Fashion-MNIST")
    parser.add_argument("--output", type=Path, default=RESULTS / "gate_faults.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(given.raw, Path(folder), whole=not given.without_whole)
    write_json(given.output, figures)
    print({key: value for key, value in figures.items() if key not in ("each", "remarked")})


if __name__ == "__main__":
    main()
