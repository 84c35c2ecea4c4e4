"""`make bench`: the training step, the exported model, the service and the page on this machine; writes reports/bench.json."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks import browser, deploying, objects, serving, training
from soda.config import load
from soda.files import write_json


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=5.0, help="for each measurement")
    parser.add_argument("--only", choices=("training", "objects", "deploying", "serving", "browser"), help="one part (all)")
    parser.add_argument("--pictures", type=int, default=20_000, help="JPEGs that soda embed is timed on")
    parser.add_argument("--many", type=int, default=100_000, help="pictures at which its memory is measured, against 1,000")
    parser.add_argument("--requests", type=int, default=100_000, help="to the service")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    figures: training.Figures = {}
    print(f"{args.threads} threads, torch {torch.__version__}; median of repeated runs")
    if args.only in (None, "training"):
        figures |= training.measure(load(), seconds=args.seconds)
    if args.only in (None, "objects"):
        figures |= objects.measure_objects(seconds=args.seconds)
    if args.only in (None, "deploying"):
        figures |= deploying.measure(seconds=args.seconds, pictures=args.pictures, many=args.many)
    if args.only in (None, "serving"):
        figures |= serving.measure_serving(seconds=max(args.seconds, args.requests / 1000), requests=args.requests)
    if args.only in (None, "browser"):
        figures |= browser.measure_browser()
    for name, (value, unit) in figures.items():
        print(f"  {name:<58}{value:>10.2f} {unit}")
    write_json(Path("reports/bench.json"), {name: value for name, (value, _) in figures.items()})


if __name__ == "__main__":
    main()
