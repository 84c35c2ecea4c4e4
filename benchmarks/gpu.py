"""What one GPU makes of this project, in one call of a few minutes: `python -m benchmarks.gpu --raw data/raw --out reports/gpu`.

Parity with the CPU, a run resumed on another device, images a second against the card's own convolutions, where a step's time
goes, what each change to the loop is worth, two trainings, export. Each part by itself: one that fails or runs out of time leaves
a note and the next one starts. `--smoke` does all of it in seconds, small, on whatever there is. What it found is in
docs/notebook/gpu.md.

Data is prepared first where --work has none: Fashion-MNIST, and 48,000 rendered views, some minutes of a core; `--parts` without
a name does that alone, on any machine.

The GPU's machine needs torch, torchvision, numpy, pillow, pyarrow, pydantic, pyyaml, safetensors, matplotlib, scikit-learn, tqdm;
for the part `export` also onnx, onnxscript and onnxruntime. It needs no DVC, DVCLive, Great Expectations or Prefect, and Hydra
to compose conf/ only: `--compose FILE` writes the settings where it is installed, `--settings FILE` reads them where it is not.
Wheels to carry to a machine without an index: `pip download pydantic -d wheels --only-binary=:all: --python-version 3.12`, and
there `pip install --no-index -f wheels pydantic`.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_checks import export, parity, resume
from benchmarks.gpu_learning import fashion, views
from benchmarks.gpu_profile import profile
from benchmarks.gpu_speed import machine, roofline, throughput
from benchmarks.gpu_world import World, compose_all, prepare_data
from soda.common.files import write_json
from soda.layout import RAW, REPORTS, RUNS

PARTS: dict[str, tuple[Callable[[World], dict[str, Any]], float]] = {
    "machine": (machine, 10),
    "parity": (parity, 40),
    "resume": (resume, 25),
    "roofline": (roofline, 20),
    "throughput": (throughput, 190),
    "profile": (profile, 25),
    "fashion": (fashion, 200),
    "export": (export, 40),
    "views": (views, 200),
}
"""Parts in their order, and the most seconds that each may take."""


class OutOfTimeError(RuntimeError):
    """A part's seconds are over."""


def run_part(world: World, name: str) -> None:
    """Do one part within its time; its figures, or what went wrong, are in `world.results[name]` afterwards."""
    work, seconds = PARTS[name]
    started = time.perf_counter()
    world.part_ends = started + seconds
    seconds = min(seconds, world.ends - started)
    print(f"{name} (at most {seconds:.0f} s)", flush=True)

    def stop(signum: int, frame: object) -> None:
        raise OutOfTimeError(f"{name}: {seconds:.0f} s are over")

    signal.signal(signal.SIGALRM, stop)
    try:
        if seconds <= 1:
            raise OutOfTimeError("no time is left")
        signal.setitimer(signal.ITIMER_REAL, seconds, 3.0)  # again, should something swallow it
        world.results[name] = work(world)
    except Exception as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        traceback.print_exc()
        world.results.setdefault(name, {})["error"] = f"{type(error).__name__}: {error}"[:1000]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    world.results.setdefault("seconds", {})[name] = time.perf_counter() - started
    write_json(world.out / "gpu.json", world.results)
    (world.out / "gpu.md").write_text(markdown(world.results), encoding="utf-8")


def markdown(results: dict[str, Any]) -> str:
    """A table a part: what, and its figures. Curves, settings and single kernels are in gpu.json alone."""
    lines = ["# One GPU"]
    for part, found in results.items():
        if part != "settings":
            lines += ["", f"## {part}", "", "| what | figures |", "|---|---|", *_rows(found, "")]
    return "\n".join(lines) + "\n"


def _rows(found: dict[str, Any], what: str) -> Iterator[str]:
    flat = {key: value for key, value in found.items() if not isinstance(value, (dict, list))}
    if flat:
        shown = [f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in flat.items()]
        yield f"| {what} | {', '.join(shown)} |"
    for key, value in found.items():
        if isinstance(value, dict) and key != "dearest":
            yield from _rows(value, f"{what}, {key}".removeprefix(", "))


def run(world: World, parts: list[str]) -> None:
    """All parts, the data first where an earlier call has not left it in `world.work`."""
    for folder in (world.out, world.work):
        folder.mkdir(parents=True, exist_ok=True)
    prepare_data(world)
    for part in parts:
        run_part(world, part)
    print(markdown(world.results))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=REPORTS / "gpu", help="folder for gpu.json, gpu.md, images and weights")
    parser.add_argument("--work", type=Path, default=RUNS / "gpu", help="folder for prepared data")
    parser.add_argument("--raw", type=Path, default=RAW, help="Fashion-MNIST as `soda fetch` leaves it")
    parser.add_argument("--compose", type=Path, metavar="FILE", help="write the settings there and do nothing else")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="what --compose wrote, for a machine without Hydra")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS), help="none: prepare the data")
    parser.add_argument("--seconds", type=float, default=520.0, help="of all parts together, data included")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--smoke", action="store_true", help="all parts, small")
    args = parser.parse_args()
    started = time.perf_counter()
    if args.compose:
        write_json(args.compose, {str(smoke): compose_all(smoke=smoke) for smoke in (False, True)})
        return
    stored = json.loads(args.settings.read_text()) if args.settings else None
    settings = compose_all(smoke=args.smoke) if stored is None else stored[str(args.smoke)]
    world = World(torch.device(args.device), settings, args.out, args.work, args.raw, args.smoke, started + args.seconds)
    run(world, args.parts)


if __name__ == "__main__":
    main()
