"""What the flow costs over its stages: a no-op `make pipeline` with and without a server, and seven bare stages against the flow.

python -m benchmarks.flow_overhead [--runs 3]   on an idle machine; prints a table in Markdown, a column a run

A project of 200 images of 16 px and one of the smallest models, laid out in a temporary folder. Processor time is user and system
time of all processes that a command started and waited for; Prefect's own server is not part of it, but where the run starts it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.chaos import processes, world
from benchmarks.chaos.server import Server

AIMS = {"no-op, with a server": "8 s", "no-op, without": "12 s", "flow over bare stages": "10 s of processor time"}
FIRST = "no-op, without, the first of a project"
_STAGES = ("code", *world.STAGES)


def timed(command: Sequence[str], place: Path, **more: str) -> tuple[float, float]:
    """Seconds on the clock and of processors that a command takes. Raises CalledProcessError when it fails."""
    before, began = os.times(), time.monotonic()
    subprocess.run(command, cwd=place, env=world.environment(place, **more), check=True, capture_output=True)
    after = os.times()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return time.monotonic() - began, used


def bare(place: Path) -> tuple[float, float]:
    """All stages one after another, as `./stage NAME` runs them, without DVC and Prefect."""
    all_of_them = [timed([sys.executable, "-m", "soda", stage], place) for stage in _STAGES]
    return sum(wall for wall, _ in all_of_them), sum(used for _, used in all_of_them)


def measure(folder: Path, runs: int) -> dict[str, list[tuple[float, float]]]:
    """Rows of (seconds, processor seconds), one pair a run."""
    world.lay_out(folder / "fresh")
    flow = world.command("report")
    rows = {name: list[tuple[float, float]]() for name in (*AIMS, FIRST, "bare stages", "flow, all stages")}
    server = Server(world.copy(folder / "fresh", folder / "server"))
    server.start()
    told = {"PREFECT_API_URL": server.url, "PREFECT_API_AUTH_STRING": server.auth}
    try:
        for number in range(runs):
            rows["bare stages"].append(bare(world.copy(folder / "fresh", folder / f"bare{number}")))
            place = world.copy(folder / "fresh", folder / f"flow{number}")
            rows["flow, all stages"].append(timed(flow, place, **told))
            rows["no-op, with a server"].append(timed(flow, place, **told))
            (wall, used), (bare_wall, bare_used) = rows["flow, all stages"][-1], rows["bare stages"][-1]
            rows["flow over bare stages"].append((wall - bare_wall, used - bare_used))
    finally:
        processes.kill(processes.of(server.project))
    for number in range(runs):
        rows[FIRST].append(timed(flow, folder / f"flow{number}"))  # Prefect's database is made
        rows["no-op, without"].append(timed(flow, folder / f"flow{number}"))
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Returns 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flow_overhead", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="soda-overhead-") as folder:
        rows = measure(Path(folder), given.runs)
    columns = [f"run {number + 1}: s (processor s)" for number in range(given.runs)]
    lines = [["what", *columns, "aim"], ["---"] * (given.runs + 2)]
    lines += [[name, *(f"{wall:.1f} ({used:.1f})" for wall, used in pairs), AIMS.get(name, "")] for name, pairs in rows.items()]
    sys.stdout.write("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
