"""Where the commands on files write: names checked before any work, files whole or not at all."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from soda.common.errors import InputError
from soda.common.files import require_writable, whole_file
from soda.inference.image_io import give, read_pictures, to_pil
from soda.inference.soda import SODA
from soda.viz.animation import SUFFIXES as ANIMATIONS
from soda.viz.animation import save_animation
from soda.viz.sheets import grid, strip

SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
FRAMES = (*ANIMATIONS, *SUFFIXES)
"""An animation, or a strip of its frames."""


def target_of(path: Path, inputs: Sequence[Path], suffixes: Sequence[str]) -> Path:
    """`path`, checked before any work: of a format that can be written, none of the inputs, and where this can be written."""
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{path}: cannot be written; it must be one of {', '.join(dict.fromkeys(suffixes))}")
    if path.resolve() in {file.resolve() for file in inputs}:
        raise InputError(f"{path}: this is one of the pictures given; it is not overwritten")
    require_writable(path)
    return path


def targets_of(args: argparse.Namespace, what: str) -> list[Path]:
    """One file for all (a picture, or a sheet of several), or one for each picture."""
    if args.output is not None and args.output.suffix and not args.output.is_dir():
        return [target_of(args.output, args.pictures, SUFFIXES)]
    folder = args.output or Path()
    each = [target_of(folder / f"{path.stem}-{what}.png", args.pictures, SUFFIXES) for path in args.pictures]
    if len(set(each)) < len(each):
        twice = next(path for path in each if each.count(path) > 1)
        raise InputError(f"{twice}: two of the pictures would be written to it; give -o a sheet, or one picture at a time")
    return each


def write_each(targets: list[Path], drawn: np.ndarray, originals: np.ndarray, args: argparse.Namespace) -> None:
    """Each picture to its file, or all to one: a sheet, the originals above."""
    if len(targets) < len(drawn):
        save(grid([list(originals), list(drawn)]), targets[0])
        return
    for target, image in zip(targets, drawn, strict=True):
        save_image(image, target, args.scale)


def save_image(image: np.ndarray, target: Path, scale: int) -> None:
    """One image (S, S, C) uint8, its pixels `scale` times as large."""
    height, width = image.shape[:2]
    save(to_pil(image).resize((width * scale, height * scale), Image.Resampling.NEAREST), target)


def save(image: Image.Image, target: Path) -> None:
    """Write an image in the format of its suffix, and say so."""
    settings = {"lossless": True} if target.suffix.lower() == ".webp" else {}
    with whole_file(target) as temporary:
        image.save(temporary, format=Image.registered_extensions()[target.suffix.lower()], **settings)
    print(target)


def save_frames(frames: np.ndarray, target: Path, fps: float, *, back: bool = False) -> None:
    """An animation or a strip, as the suffix says."""
    if target.suffix.lower() in ANIMATIONS:
        save_animation(frames, target, fps=fps, back=back)
        print(target)
    else:
        save(strip(frames), target)


def as_array(model: SODA, pictures: Sequence[Path]) -> np.ndarray:
    """What the model sees of the files: (N, S, S, C) uint8."""
    return give(read_pictures(pictures, model.form), "array", single=False)
