"""Which encoder the commands on folders and tables use, and which of its vectors."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soda.common.errors import InputError
from soda.layout import ENCODER

if TYPE_CHECKING:
    from soda.runtime import Encoder
    from soda.vectors.origin import Origin


def open_encoder(args: argparse.Namespace, origin: Origin | None = None) -> Encoder:
    """The encoder of the options. origin: of the table that it is used on, whose vectors it gives then."""
    from soda.runtime import Encoder
    from soda.runtime.stream import default_workers, threads_beside

    workers = default_workers() if args.workers is None else args.workers
    about: dict[str, Any] = {"providers": args.provider, "threads": args.threads or threads_beside(workers)}
    if args.preprocess and args.verify:
        raise InputError("--verify: releases are signed; an encoder of others is in none")
    if args.preprocess:
        if args.vectors == "features":
            raise InputError("--vectors features: an encoder of others has the one output that --preprocess names")
        from soda.runtime.foreign import ForeignEncoder
        from soda.runtime.foreign_settings import read_preprocessing

        return ForeignEncoder(args.encoder, read_preprocessing(args.preprocess), **about)
    return Encoder(args.encoder, output=vectors_of(args, origin), verify=args.verify, **about)


def vectors_of(args: argparse.Namespace, origin: Origin | None) -> str:
    """The output that is asked for. Raises VectorsError for another than a table holds."""
    from soda.vectors import VectorsError

    if origin is None:
        return str(args.vectors or args.usual_vectors)
    if args.vectors not in (None, "search", origin.vectors):
        raise VectorsError(
            f"{args.target}: it holds {origin.vectors}, not {args.vectors}; embed the folder anew, or leave --vectors out"
        )
    return origin.vectors


def add_encoder(command: argparse.ArgumentParser) -> None:
    command.add_argument("--encoder", type=Path, default=ENCODER, help=f"{ENCODER} by default")
    command.add_argument(
        "--verify", type=Path, metavar="PUB", help="the public key that the release of the encoder must be signed with"
    )
    command.add_argument("--preprocess", type=Path, metavar="YAML", help="of an encoder of others: what `soda describe` wrote")
    command.add_argument(
        "--threads", type=int, default=0, help="of the model (0: one for each core that decodes nothing, at least one)"
    )
    command.add_argument("--workers", type=int, help="threads that decode pictures (one a core)")
    command.add_argument(
        "--provider", action="append", metavar="NAME", help="of onnxruntime, the preferred one first (CPUExecutionProvider)"
    )
    command.add_argument(
        "--max-pixels",
        type=int,
        metavar="N",
        help="of a file; larger ones are left out (200 million; a JPEG may have four times as many, decoded small)",
    )
    command.add_argument("--batch-size", type=int, default=64, help="pictures encoded at once (64)")


def add_vectors(command: argparse.ArgumentParser, usual: str) -> None:
    command.add_argument(
        "--vectors",
        choices=("z", "features", "search"),
        help="z; the longer features before it; or search, the one of them that finds better, as the encoder's file says "
        f"({usual}; of a table its own)",
    )
    command.set_defaults(usual_vectors=usual)
