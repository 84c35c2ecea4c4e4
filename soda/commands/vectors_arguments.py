"""What the commands on folders of pictures take. Nothing heavy is imported here: every `soda` command reads this."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from soda.layout import ENCODER

NAMES = ("embed", "search", "duplicates", "cluster", "outliers")


def add_vector_commands(commands: Any) -> None:
    """Add the five commands to the subparsers of `soda`."""
    command = commands.add_parser("embed", help="a folder of pictures to a table of vectors")
    command.add_argument("folder", type=Path, metavar="FOLDER")
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        help="vectors.parquet, or where pyarrow is missing vectors.npz; interrupted, the same command goes on",
    )
    command.add_argument("--normalize", choices=("none", "stats", "l2", "stats+l2"), default="none", help="the vectors (none)")
    _add_encoder(command)

    command = commands.add_parser("search", help="the pictures most like others")
    _add_target(command)
    command.add_argument("queries", nargs="+", type=Path, metavar="PICTURE", help="what to look for")
    command.add_argument("-k", type=int, default=12, help="how many for each (12)")
    _add_sheet(command, "search.html")

    command = commands.add_parser("duplicates", help="pictures that are nearly one another")
    _add_target(command)
    command.add_argument("--threshold", type=float, default=0.98, help="cosine from which two are duplicates (0.98)")
    _add_method(command)
    _add_sheet(command, "duplicates.html")

    command = commands.add_parser("cluster", help="pictures in groups of like ones")
    _add_target(command)
    command.add_argument("-k", type=int, default=10, help="how many groups (10)")
    command.add_argument("--shown", type=int, default=24, help="of each group on the sheet, the most typical first (24)")
    command.add_argument("--seed", type=int, default=0)
    _add_sheet(command, "clusters.html")

    command = commands.add_parser("outliers", help="pictures that are like no other")
    _add_target(command)
    command.add_argument("-n", "--number", type=int, default=48, help="how many (48)")
    command.add_argument("-k", type=int, default=5, help="neighbours that each is held to (5)")
    _add_method(command)
    _add_sheet(command, "outliers.html")


def _add_target(command: argparse.ArgumentParser) -> None:
    command.add_argument("target", type=Path, metavar="FOLDER|VECTORS", help="pictures, or what `soda embed` made of them")
    _add_encoder(command)


def _add_encoder(command: argparse.ArgumentParser) -> None:
    command.add_argument("--encoder", type=Path, default=ENCODER, help=f"{ENCODER} by default")
    command.add_argument(
        "--threads", type=int, default=0, help="of the model (0: one for each core that decodes nothing, at least one)"
    )
    command.add_argument("--workers", type=int, help="threads that decode pictures (one a core)")
    command.add_argument(
        "--provider", action="append", metavar="NAME", help="of onnxruntime, the preferred one first (CPUExecutionProvider)"
    )
    command.add_argument("--batch-size", type=int, default=64, help="pictures encoded at once (64)")


def _add_method(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--method", choices=("auto", "exact", "approximate"), default="auto", help="approximate from 300,000 pictures on (auto)"
    )


def _add_sheet(command: argparse.ArgumentParser, name: str) -> None:
    command.add_argument("-o", "--output", type=Path, default=Path(name), help=f"the contact sheet ({name})")
