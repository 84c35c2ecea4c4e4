"""`soda duplicates`: which pictures are there twice, which nearly, which are only alike; and a plan of what could go."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soda.commands._sheets import add_sheet, attempt, pixel_limit, sheet_of, show
from soda.commands._targets import add_method, add_target, vectors_in

if TYPE_CHECKING:
    from soda.vectors.copies import Member
    from soda.vectors.grouped import Grouped

NOTES = {"keep": "stays", "exact": "exact copy", "near": "near copy", "link": "the same file", "similar": "similar", "unread": ""}


def add_commands(commands: Any) -> None:
    command = commands.add_parser(
        "duplicates",
        help="pictures that are there twice, exactly or nearly, or are only alike",
        description="Each line is the number of a group, and a picture of it. Pictures that are only similar are among them, and "
        "the lines do not mark these: --kinds does, the contact sheet does, and --plan leaves them where they are.",
    )
    add_target(command)
    command.add_argument("--threshold", type=float, default=0.98, help="cosine from which two are looked at (0.98)")
    command.add_argument(
        "--kinds",
        action="store_true",
        help="print two more columns: what each is (stays, exact or near copy, only similar), and of which one it is a copy",
    )
    command.add_argument(
        "--plan",
        type=Path,
        metavar="CSV",
        help="write which files could be deleted, and which of each stays: of exact and near copies all but one, of similar ones "
        "none. Nothing is deleted",
    )
    add_method(command)
    add_sheet(command, "duplicates.html")
    command.set_defaults(action=_duplicates)


def _duplicates(args: argparse.Namespace) -> None:
    from soda.common.files import require_writable
    from soda.vectors.copies import told_apart
    from soda.vectors.sheet import Section

    sheet_of(args)
    if args.plan:
        require_writable(args.plan)
    found = _found(args)
    groups, rows, sections, kinds = list[list["Member"]](), list[tuple[str, ...]](), list[Section](), Counter[str]()
    for number, group in enumerate(found.groups):
        members = told_apart([found.path(row) for row in group], **pixel_limit(args))
        kinds.update(member.kind for member in members)
        names = [found.names[row] for row in group]
        for each in members:
            of = () if each.of is None else (names[each.of],)
            rows.append((str(number), names[each.place], *((each.kind, *of) if args.kinds else ())))
        if args.plan:
            groups.append(members)
        sections.append(Section(_heading(members), [_shown(found, group, member) for member in members]))
    about = (
        f"Of {found.count:,} pictures {kinds['exact']:,} are exact copies of others, {kinds['near']:,} near copies; "
        f"{kinds['similar']:,} are only similar: cosine {args.threshold:g} or more{found.how}."
    )
    if kinds["link"] or kinds["unread"]:
        about += f" {kinds['link']:,} are other names of a file, {kinds['unread']:,} cannot be read."
    failed = attempt(args.plan, "plan", lambda: _plan(args.plan, groups)) if args.plan else ""
    show(args, "Duplicates", about, sections, rows, [failed])


def _plan(path: Path, groups: list[list[Member]]) -> None:
    from soda.vectors.copies import write_plan

    files, size = write_plan(path, groups)
    print(f"{path}: {files:,} files that could go, {size / 1e6:,.1f} MB; nothing was deleted", file=sys.stderr)


def _found(args: argparse.Namespace) -> Grouped:
    from soda.vectors.grouped import group_table, group_vectors
    from soda.vectors.index import EXACT
    from soda.vectors.store import count_rows

    large = not args.target.is_dir() and args.method != "exact" and count_rows(args.target) > EXACT
    if large or (args.method == "approximate" and args.target.suffix == ".parquet"):
        return group_table(args.target, args.threshold)
    return group_vectors(vectors_in(args), args.threshold, args.method)


def _heading(members: list[Member]) -> str:
    counted = Counter(member.kind for member in members)
    parts = [f"{counted[kind]:,} {text}" for kind, text in (("exact", "exact"), ("near", "near"), ("similar", "similar"))]
    return f"{len(members):,} pictures: " + ", ".join(part for part in parts if not part.startswith("0 "))


def _shown(found: Grouped, group: list[int], member: Member) -> Any:
    from soda.vectors.sheet import Shown

    row = group[member.place]
    return Shown(found.path(row), found.names[row], NOTES[member.kind], lead=member.kind == "keep")
