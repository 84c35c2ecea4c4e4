"""What the commands on a folder or a table share: the target, its vectors, and how its pictures are shown."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soda.commands._encoders import add_encoder, add_vectors, open_encoder, vectors_of
from soda.commands._sheets import pixel_limit

if TYPE_CHECKING:
    from soda.runtime import Encoder
    from soda.vectors.sheet import Shown
    from soda.vectors.store import Vectors

COMPARED = "stats+l2"
"""How vectors are normalised to be compared."""


def add_target(command: argparse.ArgumentParser) -> None:
    command.add_argument("target", type=Path, metavar="FOLDER|VECTORS", help="pictures, or what `soda embed` made of them")
    add_encoder(command)
    add_vectors(command, "search")


def add_method(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--method", choices=("auto", "exact", "approximate"), default="auto", help="approximate from 300,000 pictures on (auto)"
    )


def vectors_in(args: argparse.Namespace) -> Vectors:
    """All latents of the target in memory, ready to be compared."""
    from soda.vectors.store import read_vectors

    if not args.target.is_dir():
        found = read_vectors(args.target)
        vectors_of(args, found.origin)
        return found
    return embedded(open_encoder(args), args)


def embedded(encoder: Encoder, args: argparse.Namespace) -> Vectors:
    """What `encoder` makes of the target, a folder."""
    from soda.vectors.origin import Origin
    from soda.vectors.store import Vectors

    found = encoder.embed_all(args.target, **streaming(args))
    return Vectors(found.names, found.z, Origin.of(encoder, args.target, COMPARED))


def streaming(args: argparse.Namespace) -> dict[str, Any]:
    """What `Encoder.stream` and `embed_all` take for vectors that are compared."""
    settings = {"normalize": COMPARED, "batch_size": args.batch_size, "workers": args.workers, "progress": True}
    return {**settings, **pixel_limit(args)}


def shown_row(vectors: Vectors, row: int, note: str = "") -> Shown:
    from soda.vectors.sheet import Shown

    return Shown(vectors.path(row), vectors.files[row], note)
