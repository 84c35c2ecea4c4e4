"""`soda reconstruct|interpolate|mix`: pictures drawn from the latents of others."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soda.commands._options import add_drawing_options, add_stochastic, open_model
from soda.common.errors import InputError

if TYPE_CHECKING:
    import numpy as np


def add_commands(commands: Any) -> None:
    command = commands.add_parser("reconstruct", help="draw pictures again from their latents")
    command.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    command.add_argument("--exact", action="store_true", help="from the inverted noise as well: the picture itself comes back")
    add_drawing_options(
        command, "one file (several pictures: a sheet, originals above), or a folder; by default PICTURE-reconstruction.png"
    )
    command.set_defaults(action=_reconstruct)

    command = commands.add_parser("interpolate", help="interpolate from picture to picture, as an animation or a strip")
    command.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    command.add_argument("--frames", type=int, default=16, help="from one picture to the next (16)")
    command.add_argument("--mode", choices=("linear", "spherical"), default="linear", help="how z moves (linear)")
    command.add_argument("--ring", action="store_true", help="go on from the last picture to the first")
    command.add_argument("--fps", type=float, default=15.0, help="frames a second of an animation (15)")
    add_stochastic(command)
    add_drawing_options(command, ".gif or .webp for an animation, .png for a strip; by default A-to-B.gif")
    command.set_defaults(action=_interpolate)

    command = commands.add_parser("mix", help="fine sections of z from one picture (style), the others from another (content)")
    command.add_argument("--style", nargs="+", type=Path, required=True, metavar="PICTURE")
    command.add_argument("--content", nargs="+", type=Path, required=True, metavar="PICTURE")
    cut = command.add_mutually_exclusive_group()
    cut.add_argument("--cut", type=int, help="how many of the finest sections come from the style (half)")
    cut.add_argument("--sections", help="these sections come from the style, e.g. 0,2 (0 is the finest)")
    cut.add_argument("--every-cut", action="store_true", help="a strip of all cuts, from nothing to everything of the style")
    add_drawing_options(command, "one picture; of several styles or contents a grid; by default STYLE-on-CONTENT.png")
    command.set_defaults(action=_mix)


def _reconstruct(args: argparse.Namespace) -> None:
    from soda.commands._outputs import as_array, targets_of, write_each

    model = open_model(args)
    targets = targets_of(args, "reconstruction")
    originals = as_array(model, args.pictures)
    drawn = model.reconstruct(args.pictures, exact=args.exact, **args.drawing)
    for path, mine, theirs in zip(args.pictures, drawn, originals, strict=True):
        print(f"{path}: {_psnr(mine, theirs):.1f} dB")
    write_each(targets, drawn, originals, args)  # last: a full disk costs no line


def _interpolate(args: argparse.Namespace) -> None:
    from soda.commands._outputs import FRAMES, save_frames, target_of
    from soda.viz.animation import require_fps

    require_fps(args.fps)
    model = open_model(args)
    name = f"{args.pictures[0].stem}-to-{args.pictures[-1].stem}.gif"
    target = target_of(args.output or Path(name), args.pictures, FRAMES)
    frames = model.interpolate(
        args.pictures, frames=args.frames, mode=args.mode, ring=args.ring, exact=not args.stochastic, **args.drawing
    )
    save_frames(frames, target, args.fps, back=not args.ring)


def _mix(args: argparse.Namespace) -> None:
    from soda.commands._outputs import SUFFIXES, as_array, save, save_image, target_of
    from soda.viz.sheets import grid

    model = open_model(args)
    inputs = [*args.style, *args.content]
    target = target_of(args.output or Path(f"{args.style[0].stem}-on-{args.content[0].stem}.png"), inputs, SUFFIXES)
    sections = None if args.sections is None else _parse_sections(args.sections)
    choice = {"cut": args.cut, "sections": sections, "every_cut": args.every_cut}
    mixed = model.mix(args.style, args.content, **choice, **args.drawing)
    styles, contents = as_array(model, args.style), as_array(model, args.content)
    if args.every_cut:
        labels = ["content", *(f"cut {cut}" for cut in range(len(mixed))), "style"]
        save(grid([[contents[0], *mixed, styles[0]]], column_labels=labels), target)
    elif len(mixed) == 1:
        save_image(mixed[0], target, args.scale)
    else:
        rows = mixed.reshape(len(contents), len(styles), *mixed.shape[1:])
        table = [[None, *styles], *([content, *row] for content, row in zip(contents, rows, strict=True))]
        save(grid(table, lead_row=True, lead_column=True), target)


def _parse_sections(text: str) -> list[int]:
    """`--sections`: numbers. Raises ValueError for anything else."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--sections: {text!r} is not possible; it must be numbers such as 0,2") from None


def _psnr(mine: np.ndarray, theirs: np.ndarray) -> float:
    """dB between two uint8 pictures; infinite for equal ones."""
    import numpy as np

    mse = float(np.mean((mine.astype(np.float64) - theirs) ** 2))
    return float(10 * np.log10(255**2 / mse)) if mse else float("inf")
