"""What the commands on files take. Nothing heavy is imported here: every `soda` command reads this."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from soda.common.errors import InputError
from soda.layout import MODEL, PREPARED

NAMES = ("reconstruct", "interpolate", "mix", "edit", "attributes", "turntable")


def add_commands(commands: Any) -> None:
    """Add the six commands to the subparsers of `soda`."""
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
    command.add_argument("--data", type=Path, default=PREPARED, help=f"prepared data to find them in ({PREPARED})")
    command.add_argument("--top", type=int, default=12, help="how many to show, those that change most first (12)")
    command.add_argument("--name", action="append", default=[], metavar="NUMBER=NAME", help="give a name (NUMBER= takes it away)")
    _add_stochastic(command)
    _add_common(command, "a sheet of strips; by default attributes.png")

    command = commands.add_parser(
        "turntable", help="turn an object round, from one picture of it or several (models with cameras)"
    )
    command.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    command.add_argument(
        "--pose",
        action="append",
        default=[],
        metavar="AZIMUTH,ELEVATION[,DISTANCE]",
        help="from where each picture was taken, in degrees, once a picture and in their order (a negative one: --pose=-30,20); "
        "none: nobody knows",
    )
    command.add_argument("--frames", type=int, default=24, help="once round (24)")
    command.add_argument("--azimuth", type=float, default=0.0, help="of the first frame, degrees from +x towards +y (0)")
    command.add_argument("--elevation", type=float, default=20.0, help="of the camera, degrees (20)")
    command.add_argument("--distance", type=float, default=2.8, help="of the camera, in radii of the object (2.8)")
    command.add_argument("--field-of-view", type=float, default=45.0, help="of all cameras, degrees from side to side (45)")
    command.add_argument("--pose-guidance", type=float, default=1.0, help="weight of the camera that is drawn for (1 is none)")
    command.add_argument("--fps", type=float, default=12.0, help="frames a second of an animation (12)")
    _add_common(command, ".gif or .webp for an animation, .png for a strip; by default PICTURE-turn.gif")


def _add_common(command: argparse.ArgumentParser, output: str) -> None:
    command.add_argument("-o", "--output", type=Path, help=output)
    command.add_argument("--model", type=Path, default=MODEL, help=f"folder of a trained model ({MODEL})")
    command.add_argument(
        "--steps", type=int, help="of the sampler, one evaluation of the denoiser each, two with guidance (the model's own)"
    )
    command.add_argument("--seed", type=int, default=0, help="of all that is random (0)")
    command.add_argument(
        "--guidance",
        help="a weight (1 is none); or one for each section (1,1,2,1), or for some (0=2,3=0.5), on top of the model's own",
    )
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
            weights = {int(section): float(weight) for section, weight in (part.split("=") for part in parts)}
            if len(weights) < len(parts):
                raise ValueError
            return weights
        return float(text) if len(parts) == 1 else [float(part) for part in parts]
    except ValueError:
        raise InputError(f"--guidance: {text!r} is not possible; it wants 1.5, or 1,1,2,1, or 0=2,3=0.5") from None


def parse_amounts(texts: Sequence[str]) -> dict[int | str, float]:
    """`--direction`: {number or name: sigmas}. Raises ValueError for a text without '=' or without a number."""
    amounts: dict[int | str, float] = {}
    for text in texts:
        key, equals, amount = text.rpartition("=")
        if key.strip() in amounts:
            raise InputError(f"--direction: {key.strip()} is given twice; it moves by one amount")
        try:
            amounts[key.strip()] = float(amount)
        except ValueError:
            equals = ""
        if not equals:
            raise InputError(f"--direction: {text!r} is not possible; it wants a number or a name, and sigmas, e.g. 3=+2")
    return amounts


def parse_pose(text: str, distance: float) -> tuple[float, float, float]:
    """`--pose`: azimuth, elevation and distance, by default `distance`. Raises ValueError for anything else."""
    try:
        numbers = [float(part) for part in text.split(",")]
        azimuth, elevation, *rest = numbers
        (further,) = rest or [distance]
    except ValueError:
        raise InputError(
            f"--pose: {text!r} is not possible; it wants azimuth and elevation in degrees, e.g. 30,20 or 30,20,2.8"
        ) from None
    return azimuth, elevation, further


def parse_sections(text: str) -> list[int]:
    """`--sections`: numbers. Raises ValueError for anything else."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--sections: {text!r} is not possible; it wants numbers such as 0,2") from None
