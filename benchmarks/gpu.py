"""What one GPU makes of this project, in one call of a few minutes: `python -m benchmarks.gpu --raw data/raw --out results`.

Parity with the CPU, a run resumed on another device, images a second against the card's own convolutions, where a step's time
goes, what each change to the loop is worth, two trainings, export. Each part by itself: one that fails or runs out of time leaves
a note and the next one starts. `--smoke` does all of it in seconds, small, on whatever there is.

Expected, as written down before the first run; what came of it is in docs/notebook/gpu.md. An H100: bf16 at 989 TFLOP/s by its
data sheet, 3.35 TB/s.
- Work, forward and backward, an image: `tiny` .262 GFLOP, `cifar` 27.8, `imagenet` 149.5, `views` 12.6 (with three sources).
- A 3x3 convolution of 128 channels at 32 px and batch 128 is 116 GFLOP there and back; at 400 TFLOP/s 0.29 ms. `cifar` at batch
  128 is 3.56 TFLOP: 8.9 ms at that rate, so 14,400 images/s; the aim of 60 % is 8,600.
- But the bytes: a map of 128 channels at 32 px and batch 128 is 34 MB in bf16, 67 MB in float32. A residual block there reads or
  writes some 30 such maps forward and back when nothing is fused, half of them float32 (GroupNorm under autocast): 1.5 GB, 0.5 ms
  at 3 TB/s, for 0.6 ms of convolutions. With all levels bytes take about as long as convolutions where nothing is fused: 5,500 to
  7,000 images/s in a graph, and compile should bring a third on top.
- The loop as it is has some 13 ms of host a step beside 12 ms of device: 5,000 images/s at best. `tiny` has 0.017 TFLOP a step:
  all launches, some 1,200 of them at 4 us: 5 to 8 ms a step, 10,000 images/s; in a graph under 1.5 ms, so above 40,000.
- Fashion-MNIST: 135 s at 7,000 images/s are 0.95 million images, 17 epochs. z of 144 should probe at .89 to .90 on validation,
  the 512 features before it higher (.905 to .92), PSNR above 27 dB (24.8 of the shipped model, of 0.5 M parameters).
- Views: 12.6 GFLOP an image, bytes rule: 5,000 images/s, half a million images. A gap of pose above 4 dB; 3 dB above mean_view.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_checks import export, parity, resume
from benchmarks.gpu_learning import claims, fashion, views
from benchmarks.gpu_prepare import prepare_fashion, prepare_objects, smoke_fashion
from benchmarks.gpu_profile import profile
from benchmarks.gpu_report import markdown
from benchmarks.gpu_speed import machine, roofline, throughput
from benchmarks.gpu_world import World, compose_all
from soda.common.files import write_json

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
    "claims": (claims, 240),
}
"""Parts in their order, and the most seconds that each may take."""
DEFAULT = [name for name in PARTS if name != "claims"]


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
    write_results(world)


def write_results(world: World) -> None:
    write_json(world.out / "gpu.json", world.results)
    (world.out / "gpu.md").write_text(markdown(world.results), encoding="utf-8")


def _background(what: str, log: Path) -> subprocess.Popen[bytes]:
    """Prepare data in a process of its own, at low priority."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--prepare", what, *sys.argv[1:]]
    return subprocess.Popen(["nice", "-n", "10", *command], stdout=log.open("wb"), stderr=subprocess.STDOUT)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("reports/gpu"), help="folder for gpu.json, gpu.md, pictures and weights")
    parser.add_argument("--work", type=Path, default=Path("runs/gpu"), help="folder for prepared data")
    parser.add_argument("--raw", type=Path, default=Path("data/raw"), help="Fashion-MNIST as `soda fetch` leaves it")
    parser.add_argument("--settings", type=Path, help="what --compose wrote, for machines without Hydra")
    parser.add_argument("--compose", type=Path, help="write the settings there and do nothing else")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=DEFAULT)
    parser.add_argument("--seconds", type=float, default=520.0, help="of all parts together")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--smoke", action="store_true", help="all parts, small")
    parser.add_argument("--prepare", choices=("fashion", "objects"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    started = time.perf_counter()
    if args.compose:
        write_json(args.compose, {str(smoke): compose_all(smoke=smoke) for smoke in (False, True)})
        return
    stored = json.loads(args.settings.read_text()) if args.settings else None
    settings = compose_all(smoke=args.smoke) if stored is None else stored[str(args.smoke)]
    raw = args.raw if args.raw.is_dir() else None
    args.out.mkdir(parents=True, exist_ok=True)
    args.work.mkdir(parents=True, exist_ok=True)
    world = World(torch.device(args.device), settings, args.out, args.work, raw, args.smoke, started + args.seconds)
    if args.prepare:
        {"fashion": prepare_fashion, "objects": prepare_objects}[args.prepare](world)
    else:
        run(world, args.parts)


def run(world: World, parts: list[str]) -> None:
    """All parts, data being prepared beside them: Fashion-MNIST at first, objects while the first training runs."""
    jobs: dict[str, Any] = {}
    started = world.smoke
    if world.smoke:
        smoke_fashion(world)
        prepare_objects(world)
    else:
        jobs["fashion"] = _background("fashion", world.work / "fashion.log")
    for part in parts:
        if part != "machine":
            _wait_for(world, jobs, "fashion")
        if part in ("fashion", "views") and "views" in parts and not started:
            started = True
            jobs["objects"] = _background("objects", world.work / "objects.log")
        if part == "views":
            _wait_for(world, jobs, "objects")
        run_part(world, part)
    print(markdown(world.results))


def _wait_for(world: World, jobs: dict[str, Any], what: str) -> None:
    if what in jobs:
        started = time.perf_counter()
        try:
            code = jobs[what].wait(timeout=max(1.0, min(100.0, world.ends - time.perf_counter())))
        except subprocess.TimeoutExpired:
            jobs[what].kill()
            code = jobs[what].wait()
        waited = time.perf_counter() - started
        log = (world.work / f"{what}.log").read_text(errors="replace")[-1500:]
        world.results.setdefault("preparation", {})[what] = {"exit": code, "waited_s": waited, "log": log if code else ""}
        if code:
            print(f"{what}: exit {code}\n{log}", flush=True)
        jobs.pop(what)


if __name__ == "__main__":
    main()
