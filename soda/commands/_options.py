"""What the commands that draw share: their options, and the model that these ask for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soda.common.checks import whole_number
from soda.common.errors import InputError
from soda.layout import MODEL

if TYPE_CHECKING:
    from soda.inference.soda import SODA


def add_drawing_options(command: argparse.ArgumentParser, output: str) -> None:
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
    command.add_argument(
        "--max-pixels", type=int, metavar="N", help="of a picture's file (200 million; a JPEG may have four times as many)"
    )
    command.add_argument("--scale", type=int, default=1, help="enlarge single pictures so many times")
    command.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))


def add_stochastic(command: argparse.ArgumentParser) -> None:
    command.add_argument("--stochastic", action="store_true", help="from random noise, not from the pictures' own inverted noise")


def open_model(args: argparse.Namespace) -> SODA:
    """The model of `--model`; `args.drawing` then holds what its drawing methods take. Raises InputError for wrong options."""
    from soda.inference.soda import SODA

    whole_number("--scale", args.scale, 1)
    limit = {} if args.max_pixels is None else {"max_pixels": whole_number("--max-pixels", args.max_pixels, 1)}
    args.drawing = {"seed": args.seed, "steps": args.steps, "guidance": parse_guidance(args.guidance)}
    return SODA.from_pretrained(args.model, device=args.device, output="array", fit=args.fit, progress=True, **limit)


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
        raise InputError(f"--guidance: {text!r} is not possible; it must be 1.5, or 1,1,2,1, or 0=2,3=0.5") from None
