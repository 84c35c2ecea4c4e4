"""`soda ship` and `soda results`: a finished run among the shipped models, and the table of what they reach."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_commands(commands: Any) -> None:
    shipping = commands.add_parser("ship", help="copy the finished run to zoo/NAME and docs/, and renew gallery and README")
    shipping.add_argument("name", metavar="NAME")
    shipping.add_argument("--made-by", default="", metavar="COMMAND", help="the command that made the run, for the card")
    shipping.set_defaults(action=_ship)
    showing = commands.add_parser("results", help="the table of what the shipped models reach, from docs/results")
    showing.add_argument("page", nargs="?", type=Path, metavar="PAGE", help="a Markdown file to put it in, between its marks")
    showing.set_defaults(action=_results)


def _ship(args: argparse.Namespace) -> None:
    from soda.report.ship import ship

    shipped = ship(args.name, made_by=args.made_by)
    print(f"{shipped['folder']}: {shipped['bytes']:,} bytes; the gallery shows {shipped['gallery']}")
    print("\n".join(f"  {file} {size:,}" for file, size in shipped["files"].items()))


def _results(args: argparse.Namespace) -> None:
    from soda.report.results import results

    print(results(args.page))
