"""`soda embed|search|cluster|outliers`: folders of pictures; what was found is printed, and put on a contact sheet."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soda.commands._encoders import add_encoder, add_vectors, open_encoder
from soda.commands._sheets import add_sheet, pixel_limit, sheet_of, show
from soda.commands._targets import COMPARED, add_method, add_target, shown_row, streaming, vectors_in
from soda.common.checks import whole_number

if TYPE_CHECKING:
    import numpy as np

    from soda.runtime import Encoder
    from soda.vectors.origin import Origin
    from soda.vectors.store import Vectors


def add_commands(commands: Any) -> None:
    command = commands.add_parser("embed", help="a folder of pictures to a table of vectors")
    command.add_argument("folder", type=Path, metavar="FOLDER")
    command.add_argument(
        "-o",
        "--output",
        help="vectors.parquet, or where pyarrow is missing vectors.npz; .npy, .faiss, lancedb:FOLDER or qdrant:FOLDER. The same "
        "command again embeds only what is new or changed, and goes on where it was interrupted",
    )
    command.add_argument(
        "--normalize",
        choices=("none", "stats", "l2", "stats+l2"),
        help="the vectors (none; stats+l2 for .faiss, lancedb and qdrant, which are searched by cosine)",
    )
    command.add_argument("--anew", action="store_true", help="embed all, also what the output holds already")
    command.add_argument(
        "--keep-sample",
        type=Path,
        metavar="NPZ",
        help="add what is embedded now to a sample for `soda drift`: z and a few statistics a picture, no pictures",
    )
    command.add_argument("--sample-size", type=int, default=2000, metavar="N", help="pictures that the sample is of (2000)")
    add_encoder(command)
    add_vectors(command, "z")
    command.set_defaults(action=_embed)

    command = commands.add_parser("search", help="the pictures most like others")
    add_target(command)
    command.add_argument("queries", nargs="+", type=Path, metavar="PICTURE", help="what to look for")
    command.add_argument("-k", type=int, default=12, help="how many for each (12)")
    add_sheet(command, "search.html")
    command.set_defaults(action=_search)

    command = commands.add_parser("cluster", help="pictures in groups of like ones")
    add_target(command)
    command.add_argument("-k", type=int, default=10, help="how many groups (10)")
    command.add_argument("--shown", type=int, default=24, help="of each group on the sheet, the most typical first (24)")
    command.add_argument("--seed", type=int, default=0)
    add_sheet(command, "clusters.html")
    command.set_defaults(action=_cluster)

    command = commands.add_parser("outliers", help="pictures that are like no other")
    add_target(command)
    command.add_argument("-n", "--number", type=int, default=48, help="how many (48)")
    command.add_argument("-k", type=int, default=5, help="neighbours that each is held to (5)")
    add_method(command)
    add_sheet(command, "outliers.html")
    command.set_defaults(action=_outliers)


@contextmanager
def _kept_sample(args: argparse.Namespace, encoder: Encoder) -> Iterator[Callable[[np.ndarray, np.ndarray], object] | None]:
    """What takes each batch of images and z into the sample that was asked for; it is written at the end, also of a run that is
    broken off."""
    if args.keep_sample is None:
        yield None
        return
    from soda.common.errors import InputError
    from soda.common.files import require_writable
    from soda.monitor.keeping import earlier_sample, merged
    from soda.monitor.sample import Reservoir, identity

    if args.keep_sample.suffix != ".npz" or args.sample_size < 1:
        raise InputError("--keep-sample: it must be an .npz file, of at least one picture")
    require_writable(args.keep_sample)
    reservoir = Reservoir(args.sample_size, identity(encoder))
    try:
        yield reservoir.add
    finally:
        if reservoir.seen:
            before, remark = earlier_sample(args.keep_sample, identity(encoder))
            sample = merged(before, reservoir.sample(), args.sample_size)
            sample.save(args.keep_sample)
            if remark:
                print(remark, file=sys.stderr)
            print(f"{args.keep_sample}: a sample of {len(sample):,} of {sample.seen:,} pictures")


def _embed(args: argparse.Namespace) -> None:
    from soda.vectors.job import embed_folder
    from soda.vectors.stores.choose import output_named, store_of

    output = output_named(args.output or "vectors" + (".parquet" if find_spec("pyarrow") else ".npz"))
    chosen = args.normalize or (COMPARED if store_of(output).by_cosine else "none")
    normalize = None if chosen == "none" else chosen
    encoder = open_encoder(args)
    try:
        with _kept_sample(args, encoder) as keep:
            done = embed_folder(
                encoder,
                args.folder,
                output,
                normalize=normalize,
                batch_size=args.batch_size,
                workers=args.workers,
                **pixel_limit(args),
                anew=args.anew,
                progress=True,
                keep=keep,
            )
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    kept = f", {done.kept:,} of them as they were" if done.kept else ""
    resumed = f", {done.resumed:,} of them by an earlier run" if done.resumed else ""
    print(f"{output}: {done.pictures:,} pictures{kept}{resumed}")
    if done.rejects is not None:
        print(f"{done.rejects}: {done.skipped:,} that cannot be read, with the reasons")


def _search(args: argparse.Namespace) -> None:
    from soda.vectors import VectorsError
    from soda.vectors.search import search
    from soda.vectors.sheet import Section, Shown
    from soda.vectors.store import on_disk, read_origin

    sheet_of(args)
    origin = None if args.target.is_dir() else read_origin(args.target)
    encoder = open_encoder(args, origin)
    looked_for = [str(path) for path in args.queries]
    queries = encoder.embed_all(looked_for, normalize=COMPARED, batch_size=args.batch_size, **pixel_limit(args)).z
    origin, blocks = _blocks(args, encoder, origin)
    sections, rows = [], []
    for path, hits in zip(args.queries, search(queries, blocks, args.k), strict=True):
        rows += [(f"{cosine:.4f}", str(path), file) for file, cosine in hits]
        found = [Shown(on_disk(origin.folder, file), file, f"{cosine:.3f}") for file, cosine in hits]
        sections.append(Section(f"like {path}", [Shown(path, str(path), "looked for", lead=True), *found]))
    if not any(section.pictures[1:] for section in sections):
        raise VectorsError(f"{args.target}: there is no readable picture in it")
    show(args, "Search", f"The nearest of {origin.folder}, by cosine.", sections, rows)


def _cluster(args: argparse.Namespace) -> None:
    from soda.vectors.cluster import cluster
    from soda.vectors.sheet import Section

    whole_number("--shown", args.shown, 1)
    whole_number("--seed", args.seed, 0)
    sheet_of(args)
    vectors = vectors_in(args)
    whole_number("-k", args.k, 1, len(vectors.files))
    found = cluster(vectors.z, args.k, seed=args.seed)
    labelled = zip(found.labels, found.cosines, vectors.files, strict=True)
    lines = [(str(label), f"{cosine:.4f}", file) for label, cosine, file in labelled]
    sections = []
    for number in range(args.k):
        rows = found.members(number)
        shown = [shown_row(vectors, int(row), f"{found.cosines[row]:.3f}") for row in rows[: args.shown]]
        sections.append(Section(f"cluster {number}: {len(rows):,} pictures", shown, len(rows) - len(shown)))
    about = f"{len(vectors.files):,} pictures in {args.k} groups, the most typical first."
    show(args, "Clusters", about, sections, lines)


def _outliers(args: argparse.Namespace) -> None:
    import numpy as np

    from soda.runtime import novelty
    from soda.vectors.index import is_approximate, neighbours_within
    from soda.vectors.sheet import Section

    whole_number("--number", args.number, 1)
    whole_number("-k", args.k, 1)
    sheet_of(args)
    vectors = vectors_in(args)
    if len(vectors.z) > 1 and is_approximate(len(vectors.z), args.method):
        scores = 1 - neighbours_within(vectors.z, args.k, args.method)[1].mean(1)
    else:
        scores = novelty(vectors.z, k=args.k)
    rows = np.argsort(-scores, kind="stable")[: args.number]
    lines = [(f"{scores[row]:.4f}", vectors.files[row]) for row in rows]
    about = (
        f"The {len(rows)} of {len(vectors.files):,} pictures that are farthest from their {args.k} nearest{_how(args, vectors)}."
    )
    section = Section("", [shown_row(vectors, int(row), f"{scores[row]:.3f}") for row in rows])
    show(args, "Outliers", about, [section], lines)


def _blocks(
    args: argparse.Namespace, encoder: Encoder, origin: Origin | None
) -> tuple[Origin, Iterator[tuple[list[str], np.ndarray]]]:
    """Names and vectors of the target a block at a time; origin: of a table, None of a folder.

    Raises VectorsError when another encoder made them.
    """
    from soda.vectors import VectorsError
    from soda.vectors.origin import Origin
    from soda.vectors.store import comparable_blocks

    if origin is None:
        batches = encoder.stream(args.target, **streaming(args))
        return Origin.of(encoder, args.target, COMPARED), ((batch.names, batch.z) for batch in batches if batch.names)
    if origin.encoder_sha256 != Origin.of(encoder, Path(origin.folder), None).encoder_sha256:
        raise VectorsError(f"{args.target}: another encoder than {args.encoder} made these vectors; name that one with --encoder")
    if origin.normalize == "l2":
        raise VectorsError(f"{args.target}: vectors of length 1 alone cannot be searched; embed with --normalize none or stats")
    return origin, comparable_blocks(args.target, origin)


def _how(args: argparse.Namespace, vectors: Vectors) -> str:
    from soda.vectors.index import is_approximate

    return ", by an approximate index" if is_approximate(len(vectors.files), args.method) else ""
