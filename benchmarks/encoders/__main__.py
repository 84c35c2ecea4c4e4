"""Ours beside SimCLR, VICReg, BYOL, DINO and an autoencoder on the same encoder, at equal processor time, and ready-made ones.

    python -m benchmarks.encoders  # Fashion-MNIST, 200 s a training, 3 seeds: 3 hours of a core
    python -m benchmarks.encoders --folder PICTURES --name openclipart
    python -m benchmarks.encoders --data emoji furniture --methods soda simclr pixels
    python -m benchmarks.encoders --onnx any.onnx --preprocess any.yaml

Also `make bench ARGS="--only encoders ..."`. Writes docs/results/encoders.json, prints the tables. What is done is kept in
runs/ and not done again. One thread; several commands may run side by side.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.encoders.measure import ALL, OUT, RUNS, Table, judge_of, table, written


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.encoders", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="*", default=["fashion_mnist"], help="data sets that this project can fetch or draw")
    parser.add_argument("--folder", type=Path, help="pictures in folders by category, in place of --data")
    parser.add_argument("--name", default="folder", help="what the folder is called in the file")
    parser.add_argument("--seconds", type=float, default=200.0, help="of processor time a training (200)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="*", choices=ALL, default=list(ALL))
    parser.add_argument("--onnx", type=Path, nargs="*", default=[], help="other encoders")
    parser.add_argument("--preprocess", type=Path, nargs="*", default=[], help="for each of them what `soda describe` wrote")
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args(argv)
    if len(args.onnx) != len(args.preprocess):
        parser.error(f"{len(args.onnx)} files after --onnx, {len(args.preprocess)} after --preprocess: each takes its own")
    torch.set_num_threads(1)
    rows = []
    for name in [args.name] if args.folder else args.data:
        judge = judge_of(name, args.folder, args.runs)
        measured = Table(name, judge, args.seconds, args.seeds, args.runs / "rows")
        for method in args.methods:
            rows += measured.rows([method], [])
            every = written(rows, args.out)
        rows += measured.rows([], list(zip(args.onnx, args.preprocess, strict=True)))
    every = written(rows, args.out)
    print(table([row for row in every if row["data"] in {mine["data"] for mine in rows}]))


if __name__ == "__main__":
    torch.set_flush_denormal(True)  # of this process: an untrained encoder's activations fade into denormals, six times as slow
    main()
