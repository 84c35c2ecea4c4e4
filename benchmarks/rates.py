"""Images a second of `soda train`, alone and beside other programs, of two checkouts in turn. `python -m benchmarks.rates`.

python -m benchmarks.rates --before CHECKOUT [--runs 3] [--seconds 30]

In both checkouts `dvc repro validate` ran. Each measurement is a training of the checkout's committed params.yaml, in a folder of
its own, stopped after some seconds; its rate is that of the rows of the curve after the first. The other programs are
`yes > /dev/null`, one and two of them. The table goes to standard output, the medians to docs/results/speed.json.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from benchmarks.history import kind_of_machine
from benchmarks.training import measure
from soda.common.files import write_json
from soda.config import load
from soda.layout import DATA, LIVE, PREPARED, RESULTS, VERDICT

ROOT = Path(__file__).parents[1]
OTHERS = {"idle": 0, "beside one program": 1, "beside two programs": 2}
STEP_SHARE = "training step over its own convolutions"
EVERY, LEAST = 640, 3  # images from row to row; rows of a measurement at least, the first of which does not count
PATIENCE = 600.0  # seconds for a measurement at most

Rates = dict[tuple[str, str], list[float]]
"""(checkout, others) -> images a second of each run."""


@contextmanager
def busy(programs: int) -> Iterator[None]:
    """So many programs that take what processor time they get."""
    with open(os.devnull, "wb") as sink:
        started = [subprocess.Popen(["yes"], stdout=sink) for _ in range(programs)]
    try:
        yield
    finally:
        for each in started:
            each.kill()
            each.wait()


def lay_out(checkout: Path, place: Path) -> None:
    """A folder in which `soda train` of the checkout begins anew, with a row of its curve every EVERY images."""
    committed = subprocess.run(["git", "show", "HEAD:params.yaml"], cwd=checkout, check=True, capture_output=True, text=True)
    params = yaml.safe_load(committed.stdout)
    params["train"] |= {"images": 10**7, "log_every_images": EVERY, "checkpoint_every_images": 10**7}
    (place / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (place / DATA).symlink_to(checkout / DATA)
    (place / VERDICT).parent.mkdir()
    shutil.copy(checkout / VERDICT, place / VERDICT)
    if (seal := (checkout / VERDICT).parent / ".gate").exists():  # else the data would be judged again
        shutil.copytree(seal, (place / VERDICT).parent / ".gate")


def rows(place: Path) -> list[float]:
    """Images a second of each row of the curve so far."""
    for file in (place / LIVE).rglob("images_per_second.tsv"):
        with file.open(newline="") as lines:
            return [float(row["images_per_second"]) for row in csv.DictReader(lines, delimiter="\t") if row["images_per_second"]]
    return []


def rate(checkout: Path, programs: int, seconds: float) -> float:
    """Images a second of a training beside so many busy programs. Raises RuntimeError when it ends by itself."""
    with tempfile.TemporaryDirectory(prefix="soda-rates-") as folder, busy(programs):
        place = Path(folder)
        lay_out(checkout, place)
        told = {**os.environ, "PYTHONPATH": str(checkout)}
        command = [sys.executable, "-m", "soda", "train"]
        with (place / "log").open("wb") as log:
            training = subprocess.Popen(command, cwd=place, env=told, stdout=log, stderr=log)
        began, counted = time.monotonic(), 0.0
        while not (len(rows(place)) >= LEAST and time.monotonic() - counted > seconds):
            if training.poll() is not None or time.monotonic() - began > PATIENCE:
                training.kill()
                raise RuntimeError(f"{checkout}: {(place / 'log').read_text()[-2000:]}")
            if not counted and rows(place):
                counted = time.monotonic()
            time.sleep(0.2)
        found = rows(place)[1:]
        training.send_signal(signal.SIGTERM)
        training.wait(120)
    return statistics.harmonic_mean(found)  # each row is of as many images


def compare(checkouts: dict[str, Path], runs: int, seconds: float) -> Rates:
    """All measurements, in turn, so that a machine that gets slower does so for both."""
    found: Rates = {(name, others): [] for others in OTHERS for name in checkouts}
    for _ in range(runs):
        for others, programs in OTHERS.items():
            for name, checkout in checkouts.items():
                found[name, others].append(rate(checkout, programs, seconds))
                sys.stderr.write(f"{name}, {others}: {found[name, others][-1]:.0f} images/s\n")
    return found


def table(found: Rates) -> str:
    """In Markdown, a column a run."""
    runs = len(next(iter(found.values())))
    lines = [["images a second", *(f"run {n + 1}" for n in range(runs)), "median"], ["---"] * (runs + 2)]
    lines += [
        [f"{name}, {others}", *(f"{each:.0f}" for each in rates), f"{statistics.median(rates):.0f}"]
        for (name, others), rates in found.items()
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shares(found: Rates, name: str) -> dict[str, float]:
    """What is left of the idle rate beside one and two programs, by medians."""
    idle, one, two = (statistics.median(found[name, others]) for others in OTHERS)
    return {"one": round(one / idle, 3), "two": round(two / idle, 3)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rates", description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="a checkout of other code")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="of training for each measurement, after its first row")
    given = parser.parse_args(arguments)
    for checkout in (given.before, ROOT):
        if not (checkout / PREPARED / "summary.json").exists():
            parser.error(f"{checkout / PREPARED}: no prepared data; run `dvc repro validate` there first")
    checkouts = {"before": given.before.resolve(), "now": ROOT}
    found = compare(checkouts, given.runs, given.seconds)
    idle = {name: statistics.median(found[name, "idle"]) for name in checkouts}
    share, unit = measure(load(ROOT / "params.yaml"), seconds=5.0)[STEP_SHARE]
    assert unit == "%"
    write_json(
        ROOT / RESULTS / "speed.json",
        {
            "speedup": round(idle["now"] / idle["before"], 2),
            "images_per_second": {f"{name}, {others}": [round(r, 1) for r in rates] for (name, others), rates in found.items()},
            "loaded_share": shares(found, "now"),
            "loaded_share_before": shares(found, "before"),
            "step_over_convolution": round(share / 100, 3),
            "machine": kind_of_machine(),
            "before": _commit(given.before),
            "command": f"python -m benchmarks.rates --before CHECKOUT --runs {given.runs} --seconds {given.seconds:g}",
        },
    )
    sys.stdout.write(table(found) + "\n")
    return 0


def _commit(checkout: Path) -> str:
    words = ["git", "log", "-1", "--format=%h of %cs"]
    return subprocess.run(words, cwd=checkout, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
