"""`soda edit|directions`: pictures moved along directions of z, and these found, shown and named."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soda.commands._options import add_drawing_options, add_stochastic, open_model
from soda.common.checks import whole_number
from soda.common.errors import InputError
from soda.layout import PREPARED

if TYPE_CHECKING:
    from PIL import Image

    from soda.data.dataset import PreparedData
    from soda.inference.directions import Directions
    from soda.inference.soda import SODA

SHOWN = 5
"""Test pictures of the data set on a sheet of directions, when none are given."""


def add_commands(commands: Any) -> None:
    command = commands.add_parser("edit", help="move pictures along directions that `soda directions` found")
    command.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    command.add_argument(
        "--direction", action="append", required=True, metavar="NUMBER|NAME=SIGMAS", help="e.g. 3=+2; may be given again"
    )
    command.add_argument(
        "--strip", action="store_true", help="a sheet of each direction by itself, from -3 to +3 times SIGMAS / 3"
    )
    add_stochastic(command)
    add_drawing_options(
        command, "one file (several pictures: a sheet, originals above), or a folder; by default PICTURE-edit.png"
    )
    command.set_defaults(action=_edit)

    about = "find directions of z without labels, show them, give them names"
    command = commands.add_parser("directions", aliases=["attributes"], help=about)
    command.add_argument(
        "pictures", nargs="*", type=Path, metavar="PICTURE", help="to show them on (else some of the test split)"
    )
    command.add_argument("--find", action="store_true", help="find new ones, although some were found before")
    command.add_argument("--data", type=Path, default=PREPARED, help=f"prepared data to find them in ({PREPARED})")
    command.add_argument("--top", type=int, default=12, help="how many to show, those that change most first (12)")
    command.add_argument("--name", action="append", default=[], metavar="NUMBER=NAME", help="give a name (NUMBER= takes it away)")
    add_stochastic(command)
    add_drawing_options(command, "a sheet of strips; by default attributes.png")
    command.set_defaults(action=_show_directions)


def _edit(args: argparse.Namespace) -> None:
    from soda.commands._outputs import SUFFIXES, as_array, save, target_of, targets_of, write_each

    model = open_model(args)
    amounts = _parse_amounts(args.direction)
    if args.strip:
        default = Path(f"{args.pictures[0].stem}-edit.png")
        target = target_of(args.output or default, args.pictures, SUFFIXES)
        save(_strips(args, model, args.pictures, {key: amount / 3 for key, amount in amounts.items()}), target)
        return
    targets = targets_of(args, "edit")
    edited = model.edit(args.pictures, amounts, exact=not args.stochastic, **args.drawing)
    write_each(targets, edited, as_array(model, args.pictures), args)


def _show_directions(args: argparse.Namespace) -> None:
    from soda.commands._outputs import SUFFIXES, save, target_of

    model = open_model(args)
    whole_number("--top", args.top, 1)
    names: dict[int | str, str | None] = {}
    for text in args.name:
        key, equals, name = text.partition("=")
        if not equals:
            raise InputError(f"--name: {text!r} is not possible; it must be a number and a name, e.g. 3=sleeves")
        names[key.strip()] = name or None
    if names and args.find:
        raise InputError("--find and --name exclude one another: look at what --find draws, then give names")
    drawn = bool(not args.name or args.pictures or args.output)
    target = target_of(args.output or Path("attributes.png"), args.pictures, SUFFIXES) if drawn else None
    if names:
        model.name_directions(names)
    directions = _directions(args, model)
    for number, direction in enumerate(directions):
        print(f"{number:3d}  {direction}")
    if target:
        images = args.pictures or _some_images(args, model)
        shown: dict[int | str, float] = dict.fromkeys(range(min(args.top, len(directions))), 1.0)
        save(_strips(args, model, images, shown), target)


def _directions(args: argparse.Namespace, model: SODA) -> Directions:
    from soda.common.files import require_writable
    from soda.inference.directions import DirectionError, NoDirectionsError, directions_file

    try:
        known = model.directions
        if not args.find:
            return known
        if known.names:
            print(f"these names go with the directions that they belonged to: {', '.join(known.names)}")
    except NoDirectionsError:
        pass
    except DirectionError:  # a damaged file, or one of an earlier training
        if not args.find:
            raise
    require_writable(directions_file(model.folder))
    return model.find_directions(z=_latents(args, model), seed=args.seed)


def _latents(args: argparse.Namespace, model: SODA) -> Any:
    """z of the train split, of MAX_LATENTS pictures of it at most."""
    import numpy as np
    import torch
    from tqdm import tqdm

    from soda.common.images import to_float
    from soda.inference.discovery import MAX_LATENTS
    from soda.training.checkpoint import model_metadata

    data = _prepared(args, model, "they are found in the data that the model was trained on")
    if data.version != model_metadata(model.folder).get("data_version"):
        print(
            f"note: {args.data} holds other data than this model was trained on: {data.summary['dataset']}, {data.version[:12]}"
        )
    split = data.split("train")
    chosen = np.random.default_rng(args.seed).permutation(len(split))[:MAX_LATENTS]
    blocks = np.array_split(np.sort(chosen), max(1, len(chosen) // 256))
    return torch.cat([model.encode(to_float(split.gather(block))) for block in tqdm(blocks, desc="encode", leave=False)])


def _some_images(args: argparse.Namespace, model: SODA) -> list[Any]:
    import numpy as np

    split = _prepared(args, model, "or name pictures to show the directions on").split("test")
    return list(split.gather(np.random.default_rng(args.seed).permutation(len(split))[:SHOWN]))


def _prepared(args: argparse.Namespace, model: SODA, hint: str) -> PreparedData:
    from soda.data.dataset import DatasetError, PreparedData

    try:
        data = PreparedData(args.data)
    except DatasetError as error:
        raise DatasetError(f"{error} (--data names its folder; {hint})") from None
    if (data.image_size, data.channels) != (model.form.size, model.form.channels):
        found = f"{data.image_size} px in {data.channels} channels"
        raise InputError(f"{args.data} holds pictures of {found}, the model wants {model.form.size} px in {model.form.channels}")
    return data


def _strips(args: argparse.Namespace, model: SODA, images: Any, units: dict[int | str, float]) -> Image.Image:
    from soda.viz.sheets import direction_sheet

    edit = partial(model.edit, images, exact=not args.stochastic, **args.drawing)
    return direction_sheet(edit, model.directions, units)


def _parse_amounts(texts: Sequence[str]) -> dict[int | str, float]:
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
            raise InputError(f"--direction: {text!r} is not possible; it must be a number or a name, and sigmas, e.g. 3=+2")
    return amounts
