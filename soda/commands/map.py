"""`soda map`: all pictures of a folder or a table on one page that opens offline."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from soda.commands._sheets import pixel_limit
from soda.commands._targets import add_target, vectors_in
from soda.common.checks import whole_number
from soda.common.errors import InputError


def add_commands(commands: Any) -> None:
    command = commands.add_parser("map", help="all pictures on one page, alike ones side by side, to zoom into and search")
    add_target(command)
    command.add_argument("-o", "--output", type=Path, default=Path("map.html"), help="the page (map.html)")
    command.add_argument("-k", type=int, default=16, help="clusters that are named (16)")
    command.add_argument("--layout", choices=("auto", "tsne", "pca"), default="auto", help="t-SNE where openTSNE is there (auto)")
    command.add_argument("--most", type=int, default=100_000, help="pictures on it; of more, as many drawn at random (100,000)")
    command.add_argument("--seed", type=int, default=0)
    command.set_defaults(action=_map)


def _map(args: argparse.Namespace) -> None:
    from soda.common.files import require_writable
    from soda.vectors.atlas.flat import flat
    from soda.vectors.atlas.page import MOST, Map, rows_at_most, write_map
    from soda.vectors.cluster import cluster
    from soda.vectors.store import Vectors

    whole_number("-k", args.k, 1)
    whole_number("--most", args.most, 1, MOST)
    whole_number("--seed", args.seed, 0)
    if args.output.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{args.output}: cannot be written; a map is an .html file")
    require_writable(args.output)
    vectors = vectors_in(args)
    left_out = max(0, len(vectors.files) - args.most)
    rows = rows_at_most(vectors, args.most, args.seed)
    if len(rows) < len(vectors.files):
        vectors = Vectors([vectors.files[row] for row in rows], vectors.z[rows], vectors.origin)
    places = flat(vectors.z, args.layout, args.seed)
    found = cluster(vectors.z, min(args.k, len(vectors.files)), seed=args.seed)
    title = Path(vectors.origin.folder).name or "Pictures"
    missing = write_map(args.output, Map(vectors, places, found, title), **pixel_limit(args))
    size = args.output.stat().st_size / 1e6
    print(f"{args.output}: {len(vectors.files):,} pictures, {size:,.1f} MB; open it in a browser")
    if left_out:
        print(f"{left_out:,} more are left out: those on it were drawn at random (--most; {MOST:,} at the most)", file=sys.stderr)
    if missing:
        print(f"{missing:,} pictures cannot be read: grey squares stand for them", file=sys.stderr)
