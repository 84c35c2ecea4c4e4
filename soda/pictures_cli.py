"""`soda reconstruct|interpolate|mix|edit|attributes`: a trained model on files. Arguments here; the work is `soda.pretrained`'s.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from soda.gallery.directions import Directions
    from soda.pretrained import SODA

MODEL = Path("models/soda")
PREPARED = Path("data/prepared")
SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
ANIMATIONS = (".gif", ".webp")
STRIP = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
SHOWN = 5
"""Test pictures of the data set on an attributes sheet, when none are given."""


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


def run(args: argparse.Namespace) -> None:
    """Carry out one of the commands. Raises ValueError or OSError, with one clear line, for input that cannot be used."""
    from soda.pretrained import SODA

    if args.scale < 1:
        raise ValueError(f"--scale: {args.scale} is not possible; it wants 1 or more")
    args.drawing = {"seed": args.seed, "steps": args.steps, "guidance": parse_guidance(args.guidance)}
    COMMANDS[args.command](
        args, SODA.from_pretrained(args.model, device=args.device, output="array", fit=args.fit, progress=True)
    )


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


def _reconstruct(args: argparse.Namespace, model: SODA) -> None:
    targets = _targets(args, "reconstruction")
    originals = _as_array(model, args.pictures)
    drawn = model.reconstruct(args.pictures, exact=args.exact, **args.drawing)
    _write_each(targets, drawn, originals, args)
    for path, mine, theirs in zip(args.pictures, drawn, originals, strict=True):
        print(f"{path}: {_psnr(mine, theirs):.1f} dB")


def _interpolate(args: argparse.Namespace, model: SODA) -> None:
    from soda.gallery.animation import save_animation
    from soda.gallery.sheets import strip

    name = f"{args.pictures[0].stem}-to-{args.pictures[-1].stem}.gif"
    target = _target(args.output or Path(name), args.pictures, (*ANIMATIONS, *SUFFIXES))
    frames = model.interpolate(
        args.pictures, frames=args.frames, mode=args.mode, ring=args.ring, exact=not args.stochastic, **args.drawing
    )
    if target.suffix.lower() in ANIMATIONS:
        save_animation(frames, target, fps=args.fps, back=not args.ring)
        print(target)
    else:
        _save(strip(frames), target)


def _mix(args: argparse.Namespace, model: SODA) -> None:
    from soda.gallery.sheets import grid

    inputs = [*args.style, *args.content]
    target = _target(args.output or Path(f"{args.style[0].stem}-on-{args.content[0].stem}.png"), inputs, SUFFIXES)
    sections = None if args.sections is None else _section_list(args.sections)
    choice = {"cut": args.cut, "sections": sections, "every_cut": args.every_cut}
    mixed = model.mix(args.style, args.content, **choice, **args.drawing)
    styles, contents = _as_array(model, args.style), _as_array(model, args.content)
    if args.every_cut:
        labels = ["content", *(f"cut {cut}" for cut in range(len(mixed))), "style"]
        _save(grid([[contents[0], *mixed, styles[0]]], column_labels=labels), target)
    elif len(mixed) == 1:
        _save_picture(mixed[0], target, args.scale)
    else:
        rows = mixed.reshape(len(contents), len(styles), *mixed.shape[1:])
        table = [[None, *styles], *([content, *row] for content, row in zip(contents, rows, strict=True))]
        _save(grid(table, lead_row=True, lead_column=True), target)


def _section_list(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--sections: {text!r} is not possible; it wants numbers such as 0,2") from None


def _edit(args: argparse.Namespace, model: SODA) -> None:
    amounts = parse_amounts(args.direction)
    if args.strip:
        default = Path(f"{args.pictures[0].stem}-edit.png")
        target = _target(args.output or default, args.pictures, SUFFIXES)
        _save(_strips(args, model, args.pictures, {key: amount / 3 for key, amount in amounts.items()}), target)
        return
    targets = _targets(args, "edit")
    edited = model.edit(args.pictures, amounts, exact=not args.stochastic, **args.drawing)
    _write_each(targets, edited, _as_array(model, args.pictures), args)


def _attributes(args: argparse.Namespace, model: SODA) -> None:
    for text in args.name:
        key, equals, name = text.partition("=")
        if not equals:
            raise ValueError(f"--name: {text!r} is not possible; it wants a number and a name, e.g. 3=sleeves")
        model.name_direction(key.strip(), name or None)
    target = _target(args.output or Path("attributes.png"), args.pictures, SUFFIXES)
    directions = _directions(args, model)
    if args.top < 1:
        raise ValueError(f"--top: {args.top} is not possible; it wants 1 or more")
    if not args.name:
        pictures = args.pictures or _some_pictures(args, model)
        shown: dict[int | str, float] = dict.fromkeys(range(min(args.top, len(directions))), 1.0)
        _save(_strips(args, model, pictures, shown), target)
    for number, direction in enumerate(directions):
        print(f"{number:3d}  {direction}")


def _directions(args: argparse.Namespace, model: SODA) -> Directions:
    from soda.gallery.directions import NoDirectionsError

    if not args.find:
        try:
            return model.directions
        except NoDirectionsError:
            pass
    return model.find_directions(z=_latents(args, model), seed=args.seed)


def _latents(args: argparse.Namespace, model: SODA) -> Any:
    """z of the train split, of MAX_LATENTS pictures of it at most."""
    import numpy as np
    import torch
    from tqdm import tqdm

    from soda.data.views import to_float
    from soda.gallery.discovery import MAX_LATENTS

    split = _prepared(args, model).split("train")
    chosen = np.random.default_rng(args.seed).permutation(len(split))[:MAX_LATENTS]
    blocks = np.array_split(np.sort(chosen), max(1, len(chosen) // 256))
    return torch.cat([model.encode(to_float(split.gather(block))) for block in tqdm(blocks, desc="encode", leave=False)])


def _some_pictures(args: argparse.Namespace, model: SODA) -> list[np.ndarray]:
    import numpy as np

    split = _prepared(args, model).split("test")
    return list(split.gather(np.random.default_rng(args.seed).permutation(len(split))[:SHOWN]))


def _prepared(args: argparse.Namespace, model: SODA) -> Any:
    from soda.data.dataset import PreparedData

    data = PreparedData(args.data)
    if (data.image_size, data.channels) != (model.form.size, model.form.channels):
        found = f"{data.image_size} px in {data.channels} channels"
        raise ValueError(f"{args.data} holds pictures of {found}, the model wants {model.form.size} px in {model.form.channels}")
    return data


def _strips(args: argparse.Namespace, model: SODA, pictures: Any, units: dict[int | str, float]) -> Image.Image:
    """A block for each direction: rows of pictures, moved from -3 to +3 times its unit (in sigmas)."""
    import numpy as np

    from soda.gallery.sheets import grid, stack

    steps: list[dict[int | str, float]] = [{key: at * unit} for key, unit in units.items() for at in STRIP]
    drawn = model.edit(pictures, steps, exact=not args.stochastic, **args.drawing)
    blocks = []
    for i, (key, unit) in enumerate(units.items()):
        columns = np.stack(drawn[i * len(STRIP) : (i + 1) * len(STRIP)], axis=1)  # (pictures, 7, S, S, C)
        number, direction = model.directions.number(key), model.directions[key]
        kind = direction.kind if direction.section is None else f"section {direction.section}"
        labels = [f"{number}: {direction.name or kind}", *[""] * (len(columns) - 1)]
        blocks.append(
            grid(columns, row_labels=[f"{label:<24}" for label in labels], column_labels=[f"{at * unit:+g}" for at in STRIP])
        )
    return stack(blocks)


def _as_array(model: SODA, pictures: Sequence[Path]) -> np.ndarray:
    """What the model sees of the files: (N, S, S, C) uint8."""
    from soda.gallery.pictures import give, read_pictures

    return give(read_pictures(pictures, model.form), "array", single=False)


def _psnr(mine: np.ndarray, theirs: np.ndarray) -> float:
    """dB between two uint8 pictures; infinite for equal ones."""
    import numpy as np

    mse = float(np.mean((mine.astype(np.float64) - theirs) ** 2))
    return float(10 * np.log10(255**2 / mse)) if mse else float("inf")


def _target(path: Path, inputs: Sequence[Path], suffixes: Sequence[str]) -> Path:
    """`path`, checked before any work: of a format that can be written, and none of the inputs."""
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path}: cannot be written; it wants one of {', '.join(dict.fromkeys(suffixes))}")
    if path.resolve() in {file.resolve() for file in inputs}:
        raise ValueError(f"{path}: this is one of the pictures given; it is not overwritten")
    return path


def _targets(args: argparse.Namespace, what: str) -> list[Path]:
    """One file for all (a picture, or a sheet of several), or one for each picture."""
    if args.output is not None and args.output.suffix:
        return [_target(args.output, args.pictures, SUFFIXES)]
    folder = args.output or Path()
    targets = [_target(folder / f"{path.stem}-{what}.png", args.pictures, SUFFIXES) for path in args.pictures]
    if len(set(targets)) < len(targets):
        twice = next(path for path in targets if targets.count(path) > 1)
        raise ValueError(f"{twice}: two of the pictures would be written to it; give -o a sheet, or one picture at a time")
    return targets


def _write_each(targets: list[Path], drawn: np.ndarray, originals: np.ndarray, args: argparse.Namespace) -> None:
    from soda.gallery.sheets import grid

    if len(targets) < len(drawn):
        _save(grid([list(originals), list(drawn)]), targets[0])
        return
    for target, picture in zip(targets, drawn, strict=True):
        _save_picture(picture, target, args.scale)


def _save_picture(picture: np.ndarray, target: Path, scale: int) -> None:
    from soda.gallery.pictures import to_pil

    image = to_pil(picture)
    _save(image.resize((image.width * scale, image.height * scale), 0), target)  # 0: nearest, pixels stay pixels


def _save(image: Image.Image, target: Path) -> None:
    from PIL import Image as PillowImage

    from soda.files import whole_file

    settings = {"lossless": True} if target.suffix.lower() == ".webp" else {}
    with whole_file(target) as temporary:
        image.save(temporary, format=PillowImage.registered_extensions()[target.suffix.lower()], **settings)
    print(target)


COMMANDS: dict[str, Callable[[argparse.Namespace, SODA], None]] = {
    "reconstruct": _reconstruct,
    "interpolate": _interpolate,
    "mix": _mix,
    "edit": _edit,
    "attributes": _attributes,
}
