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
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import islice, tee
from pathlib import Path
from typing import Any

import numpy as np

from soda.common.errors import MissingFolderError
from soda.common.files import held_folder, whole_file
from soda.runtime import Encoder
from soda.runtime.file_slice import FileSlice
from soda.runtime.names import printable
from soda.runtime.preprocess import MAX_PIXELS
from soda.runtime.progress import Line
from soda.runtime.walk import Passed
from soda.vectors import VectorsError
from soda.vectors.merging import Tally, put
from soda.vectors.origin import Origin
from soda.vectors.pieces import Listed, Part, Planned, parts, read_part, write_listing, write_part
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
    """Embed every picture in `folder` and below it into `output`, in the order of their paths. A folder that has tars and no
    picture outside of them is that of the pictures in the tars.

    output: .parquet, .npz, .npy, .faiss, or Path("lancedb:FOLDER"), Path("qdrant:FOLDER"). What it holds of pictures whose size
    and time are as they were is kept, unless the folder, the encoder or the normalisation changed, or `anew` is True. So an
    interrupted run is continued; what it could not read is tried again. Memory does not grow with the number of pictures, but
    for 17 bytes each that is kept, and for .npz, .faiss and qdrant. keep: given every batch that is embedded, images and z.
    Raises VectorsError for another suffix, for a folder without a readable picture and while another run makes the same output,
    NotADirectoryError for no folder, OSError when the disk is full; an earlier output then stays.
    """
    settings: dict[str, Any] = {"batch_size": batch_size, "workers": workers, "max_pixels": max_pixels, "keep": keep}
    with opened(encoder, folder, output, normalize=normalize, anew=anew) as job:
        resumed = fill(encoder, folder, parts(job.work), {**settings, "normalize": normalize}, Line() if progress else None)
        return job.finish(resumed)


@dataclass(frozen=True)
class Job:
    """What is to be embedded, listed in the folder `work`; its parts are made there, and go into the store at the end."""

    folder: Path
    work: Path
    known: Known
    origin: Origin

    def finish(self, resumed: int) -> Done:
        """Put all parts into the store, and take them away. resumed: how many pictures were there before. Raises VectorsError
        for a part that is missing or damaged, and where no picture could be read."""
        done = _merge(self.work, self.known, self.origin, resumed)
        shutil.rmtree(self.work)
        return done


@contextmanager
def opened(encoder: Encoder, folder: Path, output: Path, *, normalize: str | None = None, anew: bool = False) -> Iterator[Job]:
    """Hold the output, and list what is to be done for it; raises what `embed_folder` does before the first picture is read."""
    store = store_of(output)
    store.check(normalize)
    if not folder.is_dir():
        raise MissingFolderError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    origin = Origin.of(encoder, folder, normalize)
    work = store.path.with_name(f".{store.path.name}.parts")
    with ExitStack() as held:
        try:
            held.enter_context(held_folder(work))
        except BlockingIOError:
            raise VectorsError(f"{output}: another run is writing it; wait for that one, or name another output") from None
        known = Known(store, origin, anew=anew)
        _list(folder, work, known, origin)
        yield Job(folder, work, known, origin)


def _list(folder: Path, work: Path, known: Known, origin: Origin) -> None:
    passed = Passed()
    count = write_listing(folder, work, origin, passed, known)
    earlier = set(work.glob("*.npz"))
    strangers = earlier - {piece.path for piece in parts(work)} if earlier else earlier  # a million names: not read for nothing
    if not count:
        if not strangers:  # the parts of an earlier run stay: the pictures may lie on a disk that is not there today
            shutil.rmtree(work)
        raise VectorsError(f"{folder}: there is no picture in it{passed}")
    if strangers:
        about = "other pictures, another encoder or other settings; they go when this one is done"
        _log.warning("%s: %d parts of an earlier run are of %s", work, len(strangers), about)


def fill(encoder: Encoder, folder: Path, pieces: Iterable[Planned], settings: dict[str, Any], line: Line | None = None) -> int:
    """Make the parts that are missing, and complete those that are not. Returns how many pictures were there already.

    All of them are one stream: decoding the pictures of the next part goes on while the last of this one are encoded.
    settings: of `Encoder.stream`.
    """
    resumed = 0

    def left() -> Iterator[tuple[Planned, list[Listed]]]:
        """Each part of which something is missing, and the pictures to be read."""
        nonlocal resumed
        for piece in pieces:
            part = read_part(piece.path)
            resumed += len(part.files) if part else 0
            if part is None:
                yield piece, piece.pictures
            elif part.skipped:  # tried again: the disk that they lie on may have been away
                again = {name for name, _ in part.skipped}
                yield piece, [each for each in piece.pictures if each.name in again]

    waiting, drawn = tee(left())
    items = (_item(folder, each) for _, wanted in drawn for each in wanted)
    report = (lambda done: line(resumed + done)) if line else False
    try:
        with closing(_outcomes(encoder, items, {**settings, "progress": report})) as outcomes:
            for piece, wanted in waiting:
                found = _collect(encoder.width, [each.name for each in wanted], outcomes, f"{folder}{os.sep}")
                if len(wanted) == len(piece.pictures):
                    write_part(piece.path, found)
                elif found.files and (earlier := read_part(piece.path)):
                    write_part(piece.path, earlier.joined(found, [each.name for each in piece.pictures]))
    finally:
        if line:
            line.close()
    return resumed


def _item(folder: Path, listed: Listed) -> str | FileSlice:
    path = os.path.join(folder, listed.name)
    return FileSlice(os.path.join(folder, listed.tar), listed.start, listed.size, path) if listed.tar else path


def _outcomes(
    encoder: Encoder, items: Iterator[str | FileSlice], settings: dict[str, Any]
) -> Generator[np.ndarray | str, None, None]:
    """Each picture's latent, or why it could not be read."""
    for batch in encoder.stream(items, errors="skip", **settings):
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
