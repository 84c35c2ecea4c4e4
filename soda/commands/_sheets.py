"""The contact sheet of a command on folders, and other files beside its lines: tried before the work, and no reason to lose what
was found."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from soda.common.errors import InputError
from soda.common.files import require_writable

if TYPE_CHECKING:
    from soda.vectors.sheet import Section


SHEET = "contact sheet"


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
    try_first(path, SHEET)
    return path


def try_first(path: Path, what: str) -> None:
    """Say, before any work, where a file cannot be written that the lines do without."""
    try:
        require_writable(path)
    except OSError as error:
        print(f"{_unwritten(path, what, error)}; the lines are printed all the same (-o names another place)", file=sys.stderr)


def attempt(path: Path, what: str, write: Callable[[], object]) -> str:
    """Write a file beside the lines: what it is to say where that fails, "" where it does not."""
    try:
        write()
    except OSError as error:
        return _unwritten(path, what, error)
    return ""


def end(args: argparse.Namespace, failed: Iterable[str], *, asked: bool) -> None:
    """After the lines: what could not be written; exit 1 where a person asked for it."""
    said = [each for each in failed if each]
    if said:
        sys.stdout.flush()
        print("\n".join(f"soda {args.command}: {each}" for each in said), file=sys.stderr)
        if asked:
            sys.exit(1)


def show(
    args: argparse.Namespace,
    title: str,
    about: str,
    sections: list[Section],
    rows: Iterable[tuple[str, ...]],
    failed: Sequence[str] = (),
) -> None:
    """The sheet first: whoever reads the lines may stop early. Without it, exit 1 where it was asked for by -o.

    failed: what `attempt` said of other files, which were asked for.
    """
    from soda.runtime.names import one_line
    from soda.vectors.sheet import write_sheet

    def write() -> None:
        shown = write_sheet(target, title, about, sections, **pixel_limit(args))
        print(f"{target}: {shown} pictures to look at. {about}", file=sys.stderr)

    target: Path = args.output or Path(args.sheet)
    unwritten = attempt(target, SHEET, write)
    if unwritten:
        print(about, file=sys.stderr)
    for row in rows:
        print("\t".join(map(one_line, row)))
    end(args, [*failed, unwritten], asked=bool(args.output or any(failed)))


def _unwritten(target: Path, what: str, error: OSError) -> str:
    return f"{target}: the {what} cannot be written ({(error.strerror or str(error)).lower()})"
