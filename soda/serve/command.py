"""The command line of `soda serve`. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soda.common.errors import FileError, InputError, NotInstalledError
from soda.common.files import require_writable
from soda.layout import ENCODER
from soda.serve.limits import Limits, check_exposure

if TYPE_CHECKING:
    from soda.runtime import Encoder
    from soda.serve.follow import Releases
    from soda.serve.sampling import Wanted

WAIT_SECONDS = 2.0  # between two looks for the first release
TOKEN_VARIABLE = "SODA_SERVE_TOKEN"
SWITCH_SECONDS = 1e-4
"""After so long a thread of Python lets another one on. With Python's own 5 ms the session, done with a batch, waits for the
event loop to have nothing to do: 63 % of the bare session's throughput, against 83 % with this."""
NEEDS = "soda serve needs more than the base package: pip install '.[serve]'"


def add_command(commands: Any) -> None:
    command = commands.add_parser("serve", help="encoder.onnx as an HTTP service (Open Inference Protocol v2, and picture files)")
    command.add_argument("encoder", nargs="?", type=Path, default=ENCODER, metavar="ENCODER")
    command.add_argument(
        "--follow", type=Path, metavar="RELEASES", help="serve the release in use of that folder, and change over with it"
    )
    command.add_argument(
        "--verify", type=Path, metavar="PUB", help="with --follow: the public key that releases must be signed with"
    )
    command.add_argument("--wait", action="store_true", help="with --follow: wait for the first release instead of ending")
    command.add_argument(
        "--sample", type=Path, metavar="NPZ", help="keep a sample of what is served, for `soda drift`: vectors alone"
    )
    command.add_argument("--sample-size", type=int, default=2000, metavar="N", help="pictures that the sample is of (2000)")
    command.add_argument(
        "--sample-pictures", action="store_true", help="keep the pictures themselves, too, at the encoder's size"
    )
    command.add_argument("--preprocess", type=Path, metavar="YAML", help="of an encoder of others: what `soda describe` wrote")
    command.add_argument("--name", help="of the model, in its addresses (the folder of a zoo model, else the file's name)")
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1); any other needs a token")
    command.add_argument("--port", type=int, default=8000, help="0 takes a free one (8000)")
    command.add_argument("--threads", type=int, default=0, help="of the session; 0 is one a core (0)")
    command.add_argument(
        "--provider", action="append", metavar="NAME", help="of onnxruntime, the preferred one first (CPUExecutionProvider)"
    )
    command.add_argument("--token-file", type=Path, help=f"file with the token that clients must show (or set {TOKEN_VARIABLE})")
    for field in fields(Limits):
        kind = int if field.type == "int" else float
        option = f"--{field.name.replace('_', '-')}"
        command.add_argument(option, type=kind, default=field.default, metavar="N", help=argparse.SUPPRESS)
    command.epilog = "Limits, each an option of its own: " + ", ".join(
        f"--{field.name.replace('_', '-')} {field.default}" for field in fields(Limits)
    )
    command.set_defaults(action=run)


def run(args: argparse.Namespace) -> None:
    """Serve until asked to stop. Raises SodaError for impossible settings and for an address that is taken."""
    if not 0 <= args.port <= 65535:
        raise InputError(f"--port: {args.port} is not possible; it must be 0 (a free one) to 65535")
    name = args.name or ("encoder" if args.follow else _default_name(args.encoder))
    if not re.fullmatch(r"(?!\.+$)[\w.-]{1,100}", name):
        raise InputError(f"--name: {name[:100]!r} is not possible; it is part of an address: letters, digits, _, - and .")
    limits = Limits(**{field.name: getattr(args, field.name) for field in fields(Limits)})
    token = _token(args.token_file)
    check_exposure(args.host, token)
    try:
        from soda.serve.app import Service
        from soda.serve.served import VERSION
        from soda.serve.server import Server, listen
    except ModuleNotFoundError as error:
        raise NotInstalledError(f"{NEEDS} (no module named {error.name!r})") from None
    sys.setswitchinterval(SWITCH_SECONDS)
    releases = _releases(args)
    if releases and args.wait:
        _await_first(releases)
    encoder, version = releases.load() if releases else (_open(args), VERSION)
    wanted = _sample(args)
    service = Service(encoder, name=name, limits=limits, token=token, version=version, releases=releases, sample=wanted)
    listener = listen(args.host, args.port)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    sys.stdout.write(f"serving {service.name} on http://{shown}:{port} (how: http://{shown}:{port}/docs)\n")
    sys.stdout.flush()
    try:
        Server(service).run(sockets=[listener])
    except KeyboardInterrupt:  # raised again by uvicorn after an orderly end
        sys.exit(130)


def _releases(args: argparse.Namespace) -> Releases | None:
    """Where the encoder comes from, when it is a folder of releases."""
    if args.follow is None:
        if args.wait:
            raise InputError("--wait: it is for a release; name their folder with --follow")
        if args.verify:
            raise InputError("--verify: releases are signed; name their folder with --follow")
        return None
    if args.preprocess or args.encoder != ENCODER:
        raise InputError("--follow: the release says which encoder is served; leave ENCODER and --preprocess out")
    from soda.runtime import Encoder
    from soda.serve.follow import Releases

    return Releases(args.follow, args.verify, lambda file: Encoder(file, providers=args.provider, threads=args.threads))


def _await_first(releases: Releases) -> None:
    """Come back when a release is in use; until then say, once, that none is."""
    from soda.release.store import read_pointer

    said = False
    while read_pointer(releases.folder).version is None:
        if not said:
            sys.stdout.write(f"{releases.folder}: nothing is released yet; waiting for the first release\n")
            sys.stdout.flush()
        said = True
        time.sleep(WAIT_SECONDS)


def _sample(args: argparse.Namespace) -> Wanted | None:
    if args.sample is None:
        if args.sample_pictures:
            raise InputError("--sample-pictures: name the sample with --sample")
        return None
    if args.sample.suffix != ".npz" or args.sample_size < 1:
        raise InputError("--sample: it must be an .npz file, of at least one picture")
    from soda.serve.sampling import Wanted

    require_writable(args.sample)
    return Wanted(args.sample, args.sample_size, args.sample_pictures)


def _open(args: argparse.Namespace) -> Encoder:
    from soda.runtime import Encoder

    if args.preprocess is None:
        return Encoder(args.encoder, providers=args.provider, threads=args.threads)
    from soda.runtime.foreign import ForeignEncoder
    from soda.runtime.foreign_settings import read_preprocessing

    return ForeignEncoder(args.encoder, read_preprocessing(args.preprocess), providers=args.provider, threads=args.threads)


def _default_name(path: Path) -> str:
    folder = path.resolve().parent.name
    return folder if path.name == "encoder.onnx" and folder not in ("", "models") else path.stem


def _token(file: Path | None) -> str | None:
    """From the file, else from the environment; never from the command line, which every user of the machine can read."""
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        token = file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: a token is text ({error})") from None
    except OSError as error:
        raise FileError(f"{file}: {error.strerror or error}") from None
    if not token:
        raise InputError(f"{file}: there is no token in it")
    return token
