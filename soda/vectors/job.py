"""`soda embed`: a folder of any size to a table of latents: streaming, resumable, whole or not at all.

While it works, the listing of the folder and finished parts lie in a hidden folder beside the output; the same command goes on
with them. The output takes its place at the end, and the parts go. Of pictures that an earlier output holds as they are nothing
is done again.
"""

from __future__ import annotations

import csv
import logging
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice, tee
from pathlib import Path
from typing import Any

import numpy as np

from soda.common.errors import MissingFolderError
from soda.common.files import held_folder, whole_file
from soda.runtime import Encoder
from soda.runtime.names import printable
from soda.runtime.preprocess import MAX_PIXELS
from soda.runtime.progress import Line
from soda.runtime.walk import Passed
from soda.vectors import VectorsError
from soda.vectors.merging import Tally, put
from soda.vectors.origin import Origin
from soda.vectors.pieces import Part, parts, read_part, write_listing, write_part
from soda.vectors.stores.choose import store_of
from soda.vectors.stores.kinds import Store
from soda.vectors.stores.known import Known

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Done:
    """pictures: in the output now, of which kept were in it already, as they are; resumed: embedded by an interrupted run;
    skipped: listed in `rejects`, which is None when all could be read."""

    pictures: int
    kept: int
    resumed: int
    skipped: int
    rejects: Path | None


def embed_folder(
    encoder: Encoder,
    folder: Path,
    output: Path,
    *,
    normalize: str | None = None,
    batch_size: int = 64,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    anew: bool = False,
    progress: bool = False,
    keep: Callable[[np.ndarray, np.ndarray], object] | None = None,
) -> Done:
    """Embed every picture in `folder` and below it into `output`, in the order of their paths.

    output: .parquet, .npz, .npy, .faiss, or Path("lancedb:FOLDER"), Path("qdrant:FOLDER"). What it holds of pictures whose size
    and time are as they were is kept, unless the folder, the encoder or the normalisation changed, or `anew` is True. So an
    interrupted run is continued; what it could not read is tried again. Memory does not grow with the number of pictures, but
    for 17 bytes each that is kept, and for .npz, .faiss and qdrant. keep: given every batch that is embedded, images and z.
    Raises VectorsError for another suffix, for a folder
    without a readable picture and while another run makes the same output, NotADirectoryError for no folder, OSError when the
    disk is full; an earlier output then stays.
    """
    store = store_of(output)
    store.check(normalize)
    if not folder.is_dir():
        raise MissingFolderError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    origin = Origin.of(encoder, folder, normalize)
    settings: dict[str, Any] = {"normalize": normalize, "batch_size": batch_size, "workers": workers}
    settings |= {"max_pixels": max_pixels, "keep": keep}
    work = store.path.with_name(f".{store.path.name}.parts")
    with ExitStack() as held:
        try:
            held.enter_context(held_folder(work))
        except BlockingIOError:
            raise VectorsError(f"{output}: another run is writing it; wait for that one, or name another output") from None
        known = Known(store, origin, anew=anew)
        return _embed(encoder, folder, work, known, origin, settings, Line() if progress else None)


def _embed(
    encoder: Encoder, folder: Path, work: Path, known: Known, origin: Origin, settings: dict[str, Any], line: Line | None
) -> Done:
    passed = Passed()
    count = write_listing(folder, work, origin, passed, known)
    earlier = set(work.glob("*.npz"))
    strangers = earlier - {path for path, _ in parts(work)} if earlier else earlier  # a million names are not read for nothing
    if not count:
        if not strangers:  # the parts of an earlier run stay: the pictures may lie on a disk that is not there today
            shutil.rmtree(work)
        raise VectorsError(f"{folder}: there is no picture in it{passed}")
    if strangers:
        about = "other pictures, another encoder or other settings; they go when this one is done"
        _log.warning("%s: %d parts of an earlier run are of %s", work, len(strangers), about)
    resumed = _fill(encoder, folder, work, settings, line)
    done = _merge(work, known, origin, resumed)
    shutil.rmtree(work)
    return done


def _fill(encoder: Encoder, folder: Path, work: Path, settings: dict[str, Any], line: Line | None) -> int:
    """Make the parts that are missing, and complete those that are not. Returns how many pictures were there already.

    All of them are one stream: decoding the pictures of the next part goes on while the last of this one are encoded.
    """
    resumed = 0

    def left() -> Iterator[tuple[Path, list[str], list[str]]]:
        """Of each part of which something is missing its file, the pictures to be read, and all of its pictures."""
        nonlocal resumed
        for path, names in parts(work):
            part = read_part(path)
            resumed += len(part.files) if part else 0
            if part is None:
                yield path, names, names
            elif part.skipped:  # tried again: the disk that they lie on may have been away
                yield path, [name for name, _ in part.skipped], names

    waiting, drawn = tee(left())
    paths = (os.path.join(folder, name) for _, wanted, _ in drawn for name in wanted)
    report = (lambda done: line(resumed + done)) if line else False
    try:
        with closing(_outcomes(encoder, paths, {**settings, "progress": report})) as outcomes:
            for path, wanted, names in waiting:
                found = _collect(encoder.width, wanted, outcomes, f"{folder}{os.sep}")
                if len(wanted) == len(names):
                    write_part(path, found)
                elif found.files and (earlier := read_part(path)):
                    write_part(path, earlier.joined(found, names))
    finally:
        if line:
            line.close()
    return resumed


def _outcomes(encoder: Encoder, paths: Iterator[str], settings: dict[str, Any]) -> Generator[np.ndarray | str, None, None]:
    """Each picture's latent, or why it could not be read."""
    for batch in encoder.stream(paths, errors="skip", **settings):
        outcomes = dict(zip(batch.indices, batch.z, strict=True)) | {each.place: each.reason for each in batch.skipped}
        yield from (outcomes[place] for place in sorted(outcomes))


def _collect(latent_dim: int, names: list[str], outcomes: Iterator[np.ndarray | str], prefix: str) -> Part:
    """The part of these pictures, whose outcomes come next. prefix: what reasons begin with and the list leaves out."""
    files: list[str] = []
    z: list[np.ndarray] = []
    skipped: list[list[str]] = []
    for name, outcome in zip(names, islice(outcomes, len(names)), strict=True):
        if isinstance(outcome, str):
            skipped.append([name, outcome.removeprefix(prefix)])
        else:
            files.append(name)
            z.append(outcome)
    return Part(files, np.stack(z) if z else np.empty((0, latent_dim), np.float32), skipped)


def _merge(work: Path, known: Known, origin: Origin, resumed: int) -> Done:
    store: Store = known.store
    with whole_file(store.rejects) as new_rejects:
        with new_rejects.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["file", "reason"])
            tally = Tally(lambda name, reason: table.writerow([printable(name), printable(reason)]))
            put(work, known, origin, tally)
        if not tally.pictures:
            shutil.rmtree(work)
            raise VectorsError(f"{origin.folder}: none of its {tally.skipped} pictures can be read")
    if not tally.skipped:
        store.rejects.unlink()
    return Done(tally.pictures, tally.kept, resumed, tally.skipped, store.rejects if tally.skipped else None)
