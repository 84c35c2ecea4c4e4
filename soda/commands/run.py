"""The commands on files, carried out: what was asked for in, files out. The work itself is `soda.inference.soda`'s."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from soda.commands.arguments import parse_amounts, parse_guidance, parse_pose, parse_sections
from soda.commands.outputs import SUFFIXES, save, save_picture, target_of, targets_of, write_each
from soda.common.errors import InputError
from soda.common.images import to_float
from soda.data.dataset import DatasetError, PreparedData
from soda.geometry.cameras import camera, focal_length, orbit
from soda.inference.directions import DirectionError, Directions, NoDirectionsError
from soda.inference.discovery import MAX_LATENTS
from soda.inference.image_io import give, read_pictures
from soda.inference.novel_view import ring
from soda.inference.soda import SODA
from soda.training.checkpoint import model_metadata
from soda.viz.animation import SUFFIXES as ANIMATIONS
from soda.viz.animation import require_fps, save_animation
from soda.viz.sheets import direction_sheet, grid, strip

SHOWN = 5
"""Test pictures of the data set on an attributes sheet, when none are given."""


def run(args: argparse.Namespace) -> None:
    """Carry out one of the commands. Raises ValueError or OSError, with one clear line, for input that cannot be used."""
    if args.scale < 1:
        raise InputError(f"--scale: {args.scale} is not possible; it wants 1 or more")
    if "fps" in args:
        require_fps(args.fps)
    args.drawing = {"seed": args.seed, "steps": args.steps, "guidance": parse_guidance(args.guidance)}
    model = SODA.from_pretrained(args.model, device=args.device, output="array", fit=args.fit, progress=True)
    COMMANDS[args.command](args, model)


def _reconstruct(args: argparse.Namespace, model: SODA) -> None:
    targets = targets_of(args, "reconstruction")
    originals = _as_array(model, args.pictures)
    drawn = model.reconstruct(args.pictures, exact=args.exact, **args.drawing)
    write_each(targets, drawn, originals, args)
    for path, mine, theirs in zip(args.pictures, drawn, originals, strict=True):
        print(f"{path}: {_psnr(mine, theirs):.1f} dB")


def _interpolate(args: argparse.Namespace, model: SODA) -> None:
    name = f"{args.pictures[0].stem}-to-{args.pictures[-1].stem}.gif"
    target = target_of(args.output or Path(name), args.pictures, (*ANIMATIONS, *SUFFIXES))
    frames = model.interpolate(
        args.pictures, frames=args.frames, mode=args.mode, ring=args.ring, exact=not args.stochastic, **args.drawing
    )
    _save_frames(frames, target, args.fps, back=not args.ring)


def _mix(args: argparse.Namespace, model: SODA) -> None:
    inputs = [*args.style, *args.content]
    target = target_of(args.output or Path(f"{args.style[0].stem}-on-{args.content[0].stem}.png"), inputs, SUFFIXES)
    sections = None if args.sections is None else parse_sections(args.sections)
    choice = {"cut": args.cut, "sections": sections, "every_cut": args.every_cut}
    mixed = model.mix(args.style, args.content, **choice, **args.drawing)
    styles, contents = _as_array(model, args.style), _as_array(model, args.content)
    if args.every_cut:
        labels = ["content", *(f"cut {cut}" for cut in range(len(mixed))), "style"]
        save(grid([[contents[0], *mixed, styles[0]]], column_labels=labels), target)
    elif len(mixed) == 1:
        save_picture(mixed[0], target, args.scale)
    else:
        rows = mixed.reshape(len(contents), len(styles), *mixed.shape[1:])
        table = [[None, *styles], *([content, *row] for content, row in zip(contents, rows, strict=True))]
        save(grid(table, lead_row=True, lead_column=True), target)


def _edit(args: argparse.Namespace, model: SODA) -> None:
    amounts = parse_amounts(args.direction)
    if args.strip:
        default = Path(f"{args.pictures[0].stem}-edit.png")
        target = target_of(args.output or default, args.pictures, SUFFIXES)
        save(_strips(args, model, args.pictures, {key: amount / 3 for key, amount in amounts.items()}), target)
        return
    targets = targets_of(args, "edit")
    edited = model.edit(args.pictures, amounts, exact=not args.stochastic, **args.drawing)
    write_each(targets, edited, _as_array(model, args.pictures), args)


def _attributes(args: argparse.Namespace, model: SODA) -> None:
    if args.top < 1:
        raise InputError(f"--top: {args.top} is not possible; it wants 1 or more")
    names: dict[int | str, str | None] = {}
    for text in args.name:
        key, equals, name = text.partition("=")
        if not equals:
            raise InputError(f"--name: {text!r} is not possible; it wants a number and a name, e.g. 3=sleeves")
        names[key.strip()] = name or None
    if names and args.find:
        raise InputError("--find and --name exclude one another: look at what --find draws, then give names")
    target = target_of(args.output or Path("attributes.png"), args.pictures, SUFFIXES)
    if names:
        model.name_directions(names)
    directions = _directions(args, model)
    if not args.name or args.pictures or args.output:
        pictures = args.pictures or _some_pictures(args, model)
        shown: dict[int | str, float] = dict.fromkeys(range(min(args.top, len(directions))), 1.0)
        save(_strips(args, model, pictures, shown), target)
    for number, direction in enumerate(directions):
        print(f"{number:3d}  {direction}")


def _turntable(args: argparse.Namespace, model: SODA) -> None:
    target = target_of(args.output or Path(f"{args.pictures[0].stem}-turn.gif"), args.pictures, (*ANIMATIONS, *SUFFIXES))
    if not 1 <= args.field_of_view <= 150:
        raise InputError(f"--field-of-view: {args.field_of_view:g} is not possible; it wants 1 to 150 degrees")
    if len(args.pose) not in (0, len(args.pictures)):
        raise InputError(f"--pose: given {len(args.pose)} times for {len(args.pictures)} pictures; give one for each, or none")
    focal = focal_length(args.field_of_view)
    poses = [camera(orbit(*parse_pose(text, args.distance)), focal) for text in args.pose] or None
    cameras = ring(args.frames, azimuth=args.azimuth, elevation=args.elevation, distance=args.distance, focal=focal)
    frames = model.novel_view(args.pictures, poses, cameras, pose_guidance=args.pose_guidance, **args.drawing)
    _save_frames(frames, target, args.fps)


def _save_frames(frames: np.ndarray, target: Path, fps: float, *, back: bool = False) -> None:
    """An animation or a strip, as the suffix says."""
    if target.suffix.lower() in ANIMATIONS:
        save_animation(frames, target, fps=fps, back=back)
        print(target)
    else:
        save(strip(frames), target)


def _directions(args: argparse.Namespace, model: SODA) -> Directions:
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
    return model.find_directions(z=_latents(args, model), seed=args.seed)


def _latents(args: argparse.Namespace, model: SODA) -> Any:
    """z of the train split, of MAX_LATENTS pictures of it at most."""
    data = _prepared(args, model, "they are found in the data that the model was trained on")
    if data.version != model_metadata(model.folder).get("data_version"):
        print(
            f"note: {args.data} holds other data than this model was trained on: {data.summary['dataset']}, {data.version[:12]}"
        )
    split = data.split("train")
    chosen = np.random.default_rng(args.seed).permutation(len(split))[:MAX_LATENTS]
    blocks = np.array_split(np.sort(chosen), max(1, len(chosen) // 256))
    return torch.cat([model.encode(to_float(split.gather(block))) for block in tqdm(blocks, desc="encode", leave=False)])


def _some_pictures(args: argparse.Namespace, model: SODA) -> list[np.ndarray]:
    split = _prepared(args, model, "or name pictures to show the directions on").split("test")
    return list(split.gather(np.random.default_rng(args.seed).permutation(len(split))[:SHOWN]))


def _prepared(args: argparse.Namespace, model: SODA, hint: str) -> PreparedData:
    try:
        data = PreparedData(args.data)
    except DatasetError as error:
        raise DatasetError(f"{error} (--data names its folder; {hint})") from None
    if (data.image_size, data.channels) != (model.form.size, model.form.channels):
        found = f"{data.image_size} px in {data.channels} channels"
        raise InputError(f"{args.data} holds pictures of {found}, the model wants {model.form.size} px in {model.form.channels}")
    return data


def _strips(args: argparse.Namespace, model: SODA, pictures: Any, units: dict[int | str, float]) -> Image.Image:
    edit = partial(model.edit, pictures, exact=not args.stochastic, **args.drawing)
    return direction_sheet(edit, model.directions, units)


def _as_array(model: SODA, pictures: Sequence[Path]) -> np.ndarray:
    """What the model sees of the files: (N, S, S, C) uint8."""
    return give(read_pictures(pictures, model.form), "array", single=False)


def _psnr(mine: np.ndarray, theirs: np.ndarray) -> float:
    """dB between two uint8 pictures; infinite for equal ones."""
    mse = float(np.mean((mine.astype(np.float64) - theirs) ** 2))
    return float(10 * np.log10(255**2 / mse)) if mse else float("inf")


COMMANDS: dict[str, Callable[[argparse.Namespace, SODA], None]] = {
    "reconstruct": _reconstruct,
    "interpolate": _interpolate,
    "mix": _mix,
    "edit": _edit,
    "attributes": _attributes,
    "turntable": _turntable,
}
