"""`soda compare`: two encoders, or two tables, on the same pictures: agreement of neighbours, labels, and what moved most."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soda.commands._encoders import add_encoder, add_vectors, open_encoder
from soda.commands._sheets import add_sheet, attempt, sheet_of, show
from soda.commands._targets import embedded
from soda.common.checks import whole_number
from soda.common.errors import InputError

if TYPE_CHECKING:
    from soda.runtime import Encoder
    from soda.vectors.compare import Comparison
    from soda.vectors.store import Vectors


def add_commands(commands: Any) -> None:
    command = commands.add_parser("compare", help="two models, or two tables of vectors, on one folder of pictures")
    for name in "AB":
        command.add_argument(name.lower(), type=Path, metavar=name, help="a model folder, an encoder.onnx, or a table of vectors")
    command.add_argument("target", type=Path, nargs="?", metavar="FOLDER", help="of pictures; two tables need none")
    command.add_argument("-k", type=int, default=10, help="neighbours that are compared (10)")
    command.add_argument("-n", "--number", type=int, default=24, help="pictures that moved most, in lines and on the sheet (24)")
    command.add_argument("--labels", type=Path, metavar="CSV", help="columns file and label (the names of sub-folders)")
    command.add_argument("--csv", type=Path, help="write all pictures, with the share of neighbours that both name")
    add_encoder(command)
    add_vectors(command, "search")
    add_sheet(command, "compare.html")
    command.set_defaults(action=_compare)


def _compare(args: argparse.Namespace) -> None:
    from soda.common.files import require_writable
    from soda.vectors.compare import compare
    from soda.vectors.sheet import Section, Shown
    from soda.vectors.store import Vectors

    whole_number("-k", args.k, 1)
    whole_number("--number", args.number, 1)
    sheet_of(args)
    if args.csv:
        require_writable(args.csv)
    sides = [_table_or_encoder(which, args) for which in (args.a, args.b)]
    if args.labels:  # what is wrong with them is said before the work
        _labels(args, _names_of(sides, args))
    a, b = (side if isinstance(side, Vectors) else _made_by(side, args) for side in sides)
    found = compare(a, b, args.k)
    labels = _labels(args, found.files)
    print("\n".join(_figures(found, labels, str(args.a), str(args.b))), file=sys.stderr)
    for which, table in (("A", a), ("B", b)):
        if alone := len(table.files) - len(found.files):
            print(f"  only in {which}, and left out: {alone:,}", file=sys.stderr)
    paths = {name: a.path(row) for row, name in enumerate(a.files)}
    sections, rows = [], []
    for row in found.most_moved(args.number):
        name, shared = found.files[row], f"{found.shared[row]:.2f}"
        lists = [[found.files[near] for near in side[row]] for side in found.near]
        rows.append((shared, name, lists[0][0], lists[1][0]))
        shown = [Shown(paths[name], name, f"{shared} shared", lead=True)]
        for side, names, other in zip("AB", lists, lists[::-1], strict=True):
            shown += [Shown(paths[each], each, side + ("" if each in other else ", alone")) for each in names[:5]]
        sections.append(Section(name, shown))
    agree = f"{found.shared.mean():.2f} of the {found.k} nearest are the same, {found.chance:.2f} by chance"
    about = f"A: {args.a}. B: {args.b}. {len(found.files):,} pictures: {agree}. Those whose neighbours changed most, first."
    failed = attempt(args.csv, "table", lambda: _write(args.csv, found)) if args.csv else ""
    show(args, "Comparison", about, sections, rows, [failed])


def _table_or_encoder(which: Path, args: argparse.Namespace) -> Vectors | Encoder:
    """Of a table what it holds, else the encoder, opened."""
    from soda.vectors.store import SUFFIXES, read_vectors

    if which.suffix in SUFFIXES:
        return read_vectors(which)
    if args.target is None:
        raise InputError(f"{which}: an encoder needs a folder of pictures behind A and B; tables of vectors need none")
    return open_encoder(argparse.Namespace(**{**vars(args), "encoder": _encoder_in(which)}))


def _encoder_in(which: Path) -> Path:
    """encoder.onnx of a model folder: inside it, as zoo has it, or beside it, as `make pipeline` leaves it."""
    if not which.is_dir():
        return which
    inside, beside = which / "encoder.onnx", which.absolute().parent / "encoder.onnx"
    if not inside.exists() and not (beside.exists() and (which / "config.yaml").exists()):
        raise InputError(f"{which}: there is no encoder.onnx in it; name an .onnx file, a model folder or a table of vectors")
    return inside if inside.exists() else beside


def _made_by(encoder: Encoder, args: argparse.Namespace) -> Vectors:
    """What an encoder makes of the folder, under the names that a table of it has."""
    from soda.runtime.names import printable
    from soda.vectors.store import Vectors

    made = embedded(encoder, args)
    return Vectors([printable(name) for name in made.files], made.z, made.origin)


def _names_of(sides: Sequence[Vectors | Encoder], args: argparse.Namespace) -> list[str]:
    """Names of the pictures that will be compared, the unreadable ones among them, before anything is embedded."""
    from soda.runtime import pictures_in
    from soda.runtime.names import printable
    from soda.vectors.store import Vectors

    tables = [side for side in sides if isinstance(side, Vectors)]
    names = [set(table.files) for table in tables]
    if len(tables) < len(sides):
        names.append({printable(name) for name in pictures_in(args.target)})
    return sorted(set.intersection(*names))


def _labels(args: argparse.Namespace, files: list[str]) -> list[str] | None:
    from soda.common.name_tables import Column, read_labels, require_all
    from soda.vectors.compare import labels_of

    if not args.labels:
        return labels_of(files)
    labels = read_labels(args.labels, files, file=Column("file"), label=Column("label"))
    require_all(args.labels, labels, files)
    return [labels.by_name[name] for name in files]


def _figures(found: Comparison, labels: list[str] | None, a: str, b: str) -> list[str]:
    from soda.vectors.compare import label_figures

    lines = [
        f"A {a}, B {b}: {len(found.files):,} pictures",
        f"  neighbours that both name, of {found.k}: {found.shared.mean():.3f} ({found.chance:.3f} by chance)",
        f"  alignment of the vectors (CKA): {found.cka:.3f}",
    ]
    if labels:
        figures = label_figures(found, labels)
        lines += [
            f"  labels ({figures.labels}) that the neighbours vote for: A {figures.right[0]:.3f}, B {figures.right[1]:.3f}",
            f"  neighbours of the same label: A {figures.own[0]:.3f}, B {figures.own[1]:.3f}",
            f"  only A is right about {figures.only[0]:,}, only B about {figures.only[1]:,}",
        ]
    return lines


def _write(path: Path, found: Comparison) -> None:
    from soda.common.files import whole_file

    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "shared", "nearest_a", "nearest_b"])
        for row, name in enumerate(found.files):
            nearest = (found.files[side[row][0]] for side in found.near)
            table.writerow([name, f"{found.shared[row]:.4f}", *nearest])
