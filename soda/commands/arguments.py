"""What the commands on files take. Nothing heavy is imported here: every `soda` command reads this."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MODEL = Path("models/soda")
PREPARED = Path("data/prepared")
NAMES = ("reconstruct", "interpolate", "mix", "edit", "attributes")


def add_commands(commands: Any) -> None:
    """Add the five commands to the subparsers of `soda`."""
    command = commands.add_parser("reconstruct", help="draw pictures again from their latents")
    command.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    command.add_argument("--exact", action="store_true", help="from the inverted noise as well: the picture itself comes back")
    _add_common(
        command, "one file (several pictures: a sheet, originals above), or a folder; by default PICTURE-reconstruction.png"
    )

    command = commands.add_parser("interpolate", help="walk from picture to picture, as an animation or a strip")
    command.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    command.add_argument("--frames", type=int, default=16, help="from one picture to the next (16)")
    command.add_argument("--mode", choices=("linear", "spherical"), default="linear", help="how z moves (linear)")
    command.add_argument("--ring", action="store_true", help="go on from the last picture to the first")
    command.add_argument("--fps", type=float, default=15.0, help="frames a second of an animation (15)")
    _add_stochastic(command)
    _add_common(command, ".gif or .webp for an animation, .png for a strip; by default A-to-B.gif")

    command = commands.add_parser("mix", help="fine sections of z from one picture (style), the others from another (content)")
    command.add_argument("--style", nargs="+", type=Path, required=True, metavar="PICTURE")
    command.add_argument("--content", nargs="+", type=Path, required=True, metavar="PICTURE")
    cut = command.add_mutually_exclusive_group()
    cut.add_argument("--cut", type=int, help="how many of the finest sections come from the style (half)")
    cut.add_argument("--sections", help="these sections come from the style, e.g. 0,2 (0 is the finest)")
    cut.add_argument("--every-cut", action="store_true", help="a strip of all cuts, from nothing to everything of the style")
    _add_common(command, "one picture; of several styles or contents a grid; by default STYLE-on-CONTENT.png")

    command = commands.add_parser("edit", help="move pictures along directions that `soda attributes` found")
    command.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    command.add_argument(
        "--direction", action="append", required=True, metavar="NUMBER|NAME=SIGMAS", help="e.g. 3=+2; may be given again"
    )
    command.add_argument(
        "--strip", action="store_true", help="a sheet of each direction by itself, from -3 to +3 times SIGMAS / 3"
    )
    _add_stochastic(command)
    _add_common(command, "one file (several pictures: a sheet, originals above), or a folder; by default PICTURE-edit.png")

    command = commands.add_parser("attributes", help="find directions of z without labels, show them, give them names")
    command.add_argument(
        "pictures", nargs="*", type=Path, metavar="PICTURE", help="to show them on (else some of the test split)"
    )
    command.add_argument("--find", action="store_true", help="find new ones, although some were found before")
    command.add_argument("--data", type=Path, default=PREPARED, help="prepared data to find them in (data/prepared)")
    command.add_argument("--top", type=int, default=12, help="how many to show, those that change most first (12)")
    command.add_argument("--name", action="append", default=[], metavar="NUMBER=NAME", help="give a name (NUMBER= takes it away)")
    _add_stochastic(command)
    _add_common(command, "a sheet of strips; by default attributes.png")


def _add_common(command: argparse.ArgumentParser, output: str) -> None:
    command.add_argument("-o", "--output", type=Path, help=output)
    command.add_argument("--model", type=Path, default=MODEL, help="folder of a trained model (models/soda)")
    command.add_argument("--steps", type=int, help="denoiser evaluations of a picture (the model's own)")
    command.add_argument("--seed", type=int, default=0, help="of all that is random (0)")
    command.add_argument("--guidance", help="a weight (1 is none), one for each section (1,1,2,1), or for some (0=2,3=0.5)")
    command.add_argument("--fit", action="store_true", help="prepare pictures of another size or mode, instead of refusing them")
    command.add_argument("--scale", type=int, default=1, help="enlarge single pictures so many times")
    command.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))


def _add_stochastic(command: argparse.ArgumentParser) -> None:
    command.add_argument("--stochastic", action="store_true", help="from random noise, not from the pictures' own inverted noise")


def parse_guidance(text: str | None) -> Any:
    """`--guidance`: None, a weight, a list of weights or {section: weight}. Raises ValueError for anything else."""
    if text is None:
        return None
    parts = text.split(",")
    try:
        if any("=" in part for part in parts):
            return {int(section): float(weight) for section, weight in (part.split("=") for part in parts)}
        return float(text) if len(parts) == 1 else [float(part) for part in parts]
    except ValueError:
        raise ValueError(f"--guidance: {text!r} is not possible; it wants 1.5, or 1,1,2,1, or 0=2,3=0.5") from None


def parse_amounts(texts: Sequence[str]) -> dict[int | str, float]:
    """`--direction`: {number or name: sigmas}. Raises ValueError for a text without '=' or without a number."""
    amounts: dict[int | str, float] = {}
    for text in texts:
        key, equals, amount = text.rpartition("=")
        try:
            amounts[key.strip()] = float(amount)
        except ValueError:
            equals = ""
        if not equals:
            raise ValueError(f"--direction: {text!r} is not possible; it wants a number or a name, and sigmas, e.g. 3=+2")
    return amounts


def parse_sections(text: str) -> list[int]:
    """`--sections`: numbers. Raises ValueError for anything else."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--sections: {text!r} is not possible; it wants numbers such as 0,2") from None
