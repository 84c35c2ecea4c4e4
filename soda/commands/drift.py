"""`soda reference` and `soda drift`: whether the pictures that come in are still those that the encoder was made for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from soda.commands._sheets import PixelLimit, attempt, end, pixel_limit, try_first
from soda.common.checks import whole_number
from soda.common.errors import InputError
from soda.layout import ENCODER, PREPARED

if TYPE_CHECKING:
    from soda.data.dataset import Split
    from soda.monitor.sample import Sample
    from soda.monitor.watch import Judgement
    from soda.runtime import Encoder
    from soda.vectors.sheet import Shown

PAGE = "drift.html"
_SHOWN = 60  # pictures of the report


def add_commands(commands: Any) -> None:
    making = commands.add_parser(
        "reference", help="what drift is measured from: z and statistics of prepared pictures, not in training"
    )
    making.add_argument("-o", "--output", type=Path, default=Path("reference.npz"), metavar="NPZ")
    making.add_argument("--prepared", type=Path, default=PREPARED, help=f"prepared data ({PREPARED})")
    making.add_argument("--split", choices=("val", "test", "both"), default="both", help="none was trained on (both)")
    making.add_argument("--encoder", type=Path, default=ENCODER, help=f"{ENCODER} by default")
    making.add_argument("--most", type=int, default=5000, help="pictures, drawn from the split (5000)")
    making.add_argument("--labels", action="store_true", help="compare the shares of labels, too")
    making.set_defaults(action=_reference)

    looking = commands.add_parser("drift", help="hold a sample, or a folder of pictures, to a reference")
    looking.add_argument("reference", type=Path, metavar="REFERENCE", help="what `soda reference` wrote")
    looking.add_argument("sample", type=Path, metavar="SAMPLE", help="an .npz of `soda serve --sample`, or a folder of pictures")
    looking.add_argument("-o", "--output", type=Path, help=f"the page ({PAGE}); drift.json beside it")
    looking.add_argument("--rate", type=float, default=0.05, help="of false alarms, of all comparisons together (0.05)")
    looking.add_argument("--encoder", type=Path, default=ENCODER, help=f"for a folder: {ENCODER} by default")
    looking.add_argument("--most", type=int, default=2000, help="pictures of a folder, drawn at random (2000)")
    looking.add_argument(
        "--max-pixels", type=int, metavar="N", help="of a file of a folder; larger ones are left out (200 million)"
    )
    looking.set_defaults(action=_drift)


def _open(path: Path) -> Encoder:
    from soda.runtime import Encoder

    return Encoder(path)


def _reference(args: argparse.Namespace) -> None:
    from soda.common.files import require_writable
    from soda.data.dataset import PreparedData
    from soda.monitor import MonitorError
    from soda.monitor.sample import seen_by
    from soda.monitor.watch import LEAST_REFERENCE

    whole_number("--most", args.most, 1)
    require_writable(args.output)
    encoder, data = _open(args.encoder), PreparedData(args.prepared)
    splits = [data.split(name) for name in (("val", "test") if args.split == "both" else (args.split,))]
    if sum(map(len, splits)) < LEAST_REFERENCE:  # one that is too small would be kept, and never serve
        held = " and ".join(f"{len(split)} of {split.name}" for split in splits)
        raise MonitorError(f"{args.prepared} has {held}; a reference takes {LEAST_REFERENCE} or more pictures not in training")
    chosen = np.sort(np.random.default_rng(0).permutation(sum(map(len, splits)))[: args.most])
    rows = [chosen[(chosen >= first) & (chosen < first + len(split))] - first for split, first in _starts(splits)]
    parts = list(zip(splits, rows, strict=True))
    images = np.concatenate([split.gather(own) for split, own in parts])
    labels = {"labels": np.concatenate([split.column("label")[own] for split, own in parts])} if args.labels else {}
    seen_by(encoder, images, **labels).save(args.output)
    print(f"{args.output}: {len(images):,} pictures of {' and '.join(split.name for split in splits)}")


def _starts(splits: list[Split]) -> list[tuple[Split, int]]:
    """Each split, and how many rows there are before it."""
    return [(split, sum(map(len, splits[:place]))) for place, split in enumerate(splits)]


def _drift(args: argparse.Namespace) -> None:
    from soda.common.files import write_json
    from soda.monitor.sample import read_sample
    from soda.monitor.watch import Watch

    if args.max_pixels is not None:
        whole_number("--max-pixels", args.max_pixels, 1)
    page: Path = args.output or Path(PAGE)
    facts = page.with_suffix(".json")
    if page.suffix.lower() != ".html":
        raise InputError(f"{page}: cannot be written; the page is an .html file")
    for path, what in ((page, "page"), (facts, "table")):
        try_first(path, what)
    watch = Watch(read_sample(args.reference), rate=args.rate)
    sample = _of_folder(args) if args.sample.is_dir() else read_sample(args.sample)
    found = watch.judge(sample)
    about = _about(found, sample)
    failed = [
        attempt(facts, "table", lambda: write_json(facts, found.as_dict() | {"about": about, "seen": sample.seen})),
        attempt(page, "page", lambda: _page(page, found, sample, about, **pixel_limit(args))),
    ]
    print(about)
    for each in found.comparisons:
        print(f"{'ALARM' if each.alarm else 'ok'}\t{each.name}\t{each.value:.4g}\tusual {each.usual:.4g}\tp {each.p:.4g}")
    for name, value in found.details.items():
        print(f"\t{name}\t{value:.4g}")
    end(args, failed, asked=args.output is not None)


def _about(found: Judgement, sample: Sample) -> str:
    named = ", ".join(each.name for each in found.comparisons if each.alarm)
    said = f"DRIFT: {named} differ from the reference" if found.alarm else "no drift"
    meant = f"where nothing has changed, at most {found.rate:.0%} of samples raise an alarm"
    return f"{said}. {found.rows:,} pictures of {sample.seen:,} compared; {meant}."


def _of_folder(args: argparse.Namespace) -> Sample:
    """A sample of the pictures in the folder and below. Raises MonitorError when none can be read."""
    from soda.monitor import MonitorError
    from soda.monitor.sample import seen_by
    from soda.runtime import PictureError, pictures_in
    from soda.runtime.preprocess import load_picture, to_square

    whole_number("--most", args.most, 1)
    folder: Path = args.sample
    encoder, files, squares = _open(args.encoder), list(pictures_in(folder)), []
    drawn, kept = np.random.default_rng(0).permutation(len(files))[: args.most], []
    for name in (files[place] for place in np.sort(drawn)):
        try:
            picture = load_picture(folder / name, **pixel_limit(args))
            squares.append(to_square(picture, encoder.image_size, resize=encoder.metadata["resize"]))
            kept.append(str(folder / name))
        except PictureError:
            continue  # the gate names them
    if not squares:
        raise MonitorError(f"{folder}: there is no readable picture in it")
    return seen_by(encoder, np.stack(squares), files=kept, seen=len(files))


def _page(path: Path, found: Judgement, sample: Sample, about: str, **limit: Unpack[PixelLimit]) -> None:
    """The most unlike pictures, where they are known; and every comparison."""
    from soda.vectors.sheet import Section, write_sheet

    order = np.argsort(-found.novel)[:_SHOWN]
    rows = [f"{each.name}: {each.value:.4g}, usual {each.usual:.4g}, p {each.p:.4g}" for each in found.comparisons]
    sections = [Section(("ALARM  " if each.alarm else "") + row) for each, row in zip(found.comparisons, rows, strict=True)]
    if shown := _shown(path, found, sample, order):
        sections.insert(0, Section("The most unlike; 1.00 is where the last hundredth of the reference begins", shown))
    write_sheet(path, "Drift", about, sections, **limit)


def _shown(path: Path, found: Judgement, sample: Sample, order: np.ndarray) -> list[Shown]:
    from soda.vectors.sheet import Shown

    if len(sample.images):
        from PIL import Image

        folder = path.with_suffix(".pictures")
        folder.mkdir(parents=True, exist_ok=True)
        for place, row in enumerate(order):
            Image.fromarray(sample.images[row]).save(folder / f"{place:03d}.png")
        return [Shown(folder / f"{place:03d}.png", f"{place + 1}", f"{found.novel[row]:.2f}") for place, row in enumerate(order)]
    named = [row for row in order if sample.files[row]]
    return [Shown(Path(sample.files[row]), Path(sample.files[row]).name, f"{found.novel[row]:.2f}") for row in named]
