"""The contact sheet of a command on folders: tried before the work, and no reason to lose what was found."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from soda.common.errors import InputError
from soda.common.files import require_writable

if TYPE_CHECKING:
    from soda.vectors.sheet import Section


def add_sheet(command: argparse.ArgumentParser, name: str) -> None:
    command.add_argument("-o", "--output", type=Path, help=f"the contact sheet ({name})")
    command.set_defaults(sheet=name)


class PixelLimit(TypedDict, total=False):
    """Of the files that are read."""

    max_pixels: int


def pixel_limit(args: argparse.Namespace) -> PixelLimit:
    """`--max-pixels` as the functions of the runtime take it; nothing where it was not given."""
    return {} if args.max_pixels is None else {"max_pixels": args.max_pixels}


def sheet_of(args: argparse.Namespace) -> Path:
    """Where the sheet goes, tried before any work: where it cannot be written, that is said, and the lines come all the same."""
    path: Path = args.output or Path(args.sheet)
    if path.suffix.lower() not in (".html", ".htm") or path.is_dir():
        raise InputError(f"{path}: cannot be written; a contact sheet is an .html file")
    try:
        require_writable(path)
    except OSError as error:
        print(f"{_unwritten(path, error)}; the lines are printed all the same (-o names another place)", file=sys.stderr)
    return path


def show(args: argparse.Namespace, title: str, about: str, sections: list[Section], rows: Iterable[tuple[str, ...]]) -> None:
    """The sheet first: whoever reads the lines may stop early. Without it, exit 1 where it was asked for by -o."""
    from soda.runtime.names import one_line
    from soda.vectors.sheet import write_sheet

    target, failed = args.output or Path(args.sheet), None
    try:
        shown = write_sheet(target, title, about, sections, **pixel_limit(args))
        print(f"{target}: {shown} pictures to look at. {about}", file=sys.stderr)
    except OSError as error:
        failed = _unwritten(target, error)
        print(about, file=sys.stderr)
    for row in rows:
        print("\t".join(map(one_line, row)))
    if failed:
        sys.stdout.flush()
        print(f"soda {args.command}: {failed}", file=sys.stderr)
        if args.output:
            sys.exit(1)


def _unwritten(target: Path, error: OSError) -> str:
    return f"{target}: the contact sheet cannot be written ({(error.strerror or str(error)).lower()})"
