"""`make bench`: the training step, the exported model, the service and the page on this machine.

Runs are kept in reports/bench.json; what got slower since the last one on such a machine is printed at the end.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

import torch

from benchmarks.history import TOLERANCE, History, kind_of_machine, slower
from soda.config import load
from soda.layout import BENCH

PARTS = ("training", "objects", "deploying", "serving", "browser")
LONG = "encoders"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=5.0, help="for each measurement")
    parser.add_argument(
        "--only", choices=(*PARTS, LONG), help=f"one part (all but {LONG}, which takes hours and options of its own)"
    )
    parser.add_argument("--pictures", type=int, default=20_000, help="JPEGs that soda embed is timed on")
    parser.add_argument("--many", type=int, default=100_000, help="pictures at which its memory is measured, against 1,000")
    parser.add_argument("--requests", type=int, default=100_000, help="to the service")
    args, rest = parser.parse_known_args()
    if args.only == LONG:
        import_module(f"benchmarks.{LONG}.__main__").main(rest)
        return
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    torch.set_num_threads(args.threads)
    print(f"{args.threads} threads, torch {torch.__version__}; median of repeated runs")
    history = History(BENCH, f"{kind_of_machine()}, {args.threads} threads")
    before, values = history.before(), dict[str, tuple[float, str]]()
    for part in [args.only] if args.only else PARTS:
        for name, (value, unit) in _measure(part, args).items():
            values[name] = value, unit
            print(f"  {name:<58}{value:>10.2f} {unit}", flush=True)
    history.add(values)
    if not before:
        print(f"kept in {BENCH}; the next run on such a machine is compared with it: {history.machine}")
    elif worse := slower(before, values):
        print("slower than the last time on such a machine:", *worse, sep="\n  ")
    else:
        print(f"nothing is slower by more than {TOLERANCE:.0%} than the last time on such a machine")


def _measure(part: str, args: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """The figures of a part, which alone is imported: not every machine has a browser."""
    settings: dict[str, Any] = {
        "training": {"config": load(), "seconds": args.seconds},
        "objects": {"seconds": args.seconds},
        "deploying": {"seconds": args.seconds, "pictures": args.pictures, "many": args.many},
        "serving": {"seconds": max(args.seconds, args.requests / 1000), "requests": args.requests},
        "browser": {},
    }[part]
    return import_module(f"benchmarks.{part}").measure(**settings)


if __name__ == "__main__":
    main()
