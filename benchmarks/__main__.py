"""`make bench`: training step against the machine's own convolutions, views, loading, the service; writes reports/bench.json."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.serving import measure_serving
from benchmarks.training import measure
from soda.config import load
from soda.files import write_json


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=5.0, help="for each measurement")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    figures = measure(load(), seconds=args.seconds) | measure_serving(seconds=args.seconds)
    print(f"{args.threads} threads, torch {torch.__version__}, params.yaml's model; median of repeated runs")
    for name, (value, unit) in figures.items():
        print(f"  {name:<58}{value:>10.2f} {unit}")
    write_json(Path("reports/bench.json"), {name: value for name, (value, _) in figures.items()})


if __name__ == "__main__":
    main()
