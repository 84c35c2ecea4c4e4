"""`soda embed`: a folder of any size to a table of latents: streaming, resumable, whole or not at all.

While it works, the listing of the folder and finished parts lie in a hidden folder beside the output; the same command goes on
with them. The output takes its place at the end, and the parts go.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from itertools import islice, tee
from pathlib import Path
from typing import Any

import numpy as np

from soda.common.errors import MissingFolderError
from soda.common.files import held_folder, whole_file
from soda.runtime import Encoder, pictures_in
from soda.runtime.names import printable
from soda.runtime.preprocess import MAX_PIXELS
from soda.runtime.progress import Line
from soda.runtime.walk import Passed
from soda.vectors import VectorsError
from soda.vectors.origin import Origin
from soda.vectors.store import DAMAGE, SUFFIXES, Writer, require_pyarrow

PART = 1024
"""Pictures a part, on average; four times as many at most: what an interruption can cost."""
LISTING = "list.jsonl"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Done:
    """pictures: embedded, resumed ones among them; skipped: listed in `rejects`, which is None when all could be read."""

    pictures: int
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
    progress: bool = False,
) -> Done:
    """Embed every picture in `folder` and below it into `output` (.parquet or .npz), in the order of their paths.

    An interrupted run is continued unless the folder, the encoder or the normalisation changed; what it could not read is tried
    again. Memory does not grow with the number of pictures (but for .npz). Raises VectorsError for another suffix, for a folder
    without a readable picture and while another run makes the same output, NotADirectoryError for no folder, OSError when the
    disk is full; an earlier output then stays.
    """
    if output.suffix not in SUFFIXES:
        raise VectorsError(f"{output}: cannot be written; it must be one of {', '.join(SUFFIXES)}")
    if output.suffix == ".parquet":
        require_pyarrow(output)
    if output.is_dir():
        raise VectorsError(f"{output}: cannot be written; there is a folder of this name")
    if not folder.is_dir():
        raise MissingFolderError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    origin = Origin.of(encoder, folder, normalize)
    settings: dict[str, Any] = {"normalize": normalize, "batch_size": batch_size, "workers": workers}
    settings["max_pixels"] = max_pixels
    work = output.with_name(f".{output.name}.parts")
    with ExitStack() as held:
        try:
            held.enter_context(held_folder(work))
        except BlockingIOError:
            raise VectorsError(f"{output}: another run is writing it; wait for that one, or name another output") from None
        return _embed(encoder, folder, work, output, origin, settings, Line() if progress else None)


def _embed(
    encoder: Encoder, folder: Path, work: Path, output: Path, origin: Origin, settings: dict[str, Any], line: Line | None
) -> Done:
    passed = Passed()
    count = _list(folder, work, origin, passed)
    earlier = set(work.glob("*.npz"))
    strangers = earlier - {path for path, _ in _parts(work)} if earlier else earlier  # a million names are not read for nothing
    if not count:
        if not strangers:  # the parts of an earlier run stay: the pictures may lie on a disk that is not there today
            shutil.rmtree(work)
        raise VectorsError(f"{folder}: there is no picture in it{passed}")
    if strangers:
        about = "other pictures, another encoder or other settings; they go when this one is done"
        _log.warning("%s: %d parts of an earlier run are of %s", work, len(strangers), about)
    resumed = _fill(encoder, folder, work, settings, line)
    done = _merge(work, output, origin, resumed)
    shutil.rmtree(work)
    return done


def _list(folder: Path, work: Path, origin: Origin, passed: Passed) -> int:
    """Write the listing: what the job is about, then a line a picture. Returns the number of pictures."""
    count = 0
    with whole_file(work / LISTING) as temporary, temporary.open("w", encoding="ascii") as file:
        file.write(json.dumps(asdict(origin)) + "\n")
        for name in pictures_in(folder, passed=passed):
            try:
                status = os.stat(folder / name)
                line = json.dumps([name, status.st_size, status.st_mtime_ns])
            except OSError:
                line = json.dumps([name, -1, -1])  # gone meanwhile: embedding will say so
            file.write(line + "\n")
            count += 1
    return count


def _parts(work: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each part's file and its pictures. The file is called after the job and all that the listing says of the pictures.

    Where a part ends is decided by the picture's own name, so that a picture more or less changes one part, not all that follow.
    """
    with (work / LISTING).open(encoding="ascii") as file:
        job = file.readline().encode()
        digest, names = hashlib.sha256(job), list[str]()
        for line in file:
            digest.update(line.encode())
            names.append(json.loads(line)[0])
            if zlib.crc32(line.split('",')[0].encode()) % PART == 0 or len(names) == 4 * PART:
                yield work / f"{digest.hexdigest()[:32]}.npz", names
                digest, names = hashlib.sha256(job), []
        if names:
            yield work / f"{digest.hexdigest()[:32]}.npz", names


@dataclass(frozen=True)
class _Part:
    """files: n names; z: (n, D); skipped: a name and a reason each."""

    files: list[str]
    z: np.ndarray
    skipped: list[list[str]]

    def joined(self, later: _Part, names: list[str]) -> _Part:
        """Both, in the order of `names`; skipped is what the later one skipped."""
        files, place = self.files + later.files, {name: i for i, name in enumerate(names)}
        order = sorted(range(len(files)), key=lambda row: place[files[row]])
        return _Part([files[row] for row in order], np.concatenate([self.z, later.z])[order], later.skipped)


def _fill(encoder: Encoder, folder: Path, work: Path, settings: dict[str, Any], line: Line | None) -> int:
    """Make the parts that are missing, and complete those that are not. Returns how many pictures were there already.

    All of them are one stream: decoding the pictures of the next part goes on while the last of this one are encoded.
    """
    resumed = 0

    def left() -> Iterator[tuple[Path, list[str], list[str]]]:
        """Of each part of which something is missing its file, the pictures to be read, and all of its pictures."""
        nonlocal resumed
        for path, names in _parts(work):
            part = _read_part(path)
            resumed += len(part.files) if part else 0
            if part is None:
                yield path, names, names
            elif part.skipped:  # tried again: the disk that they lie on may have been away
                yield path, [name for name, _ in part.skipped], names

    parts, drawn = tee(left())
    paths = (os.path.join(folder, name) for _, wanted, _ in drawn for name in wanted)
    report = (lambda done: line(resumed + done)) if line else False
    try:
        with closing(_outcomes(encoder, paths, {**settings, "progress": report})) as outcomes:
            for path, wanted, names in parts:
                found = _collect(encoder.width, wanted, outcomes, f"{folder}{os.sep}")
                if len(wanted) == len(names):
                    _write_part(path, found)
                elif found.files and (earlier := _read_part(path)):
                    _write_part(path, earlier.joined(found, names))
    finally:
        if line:
            line.close()
    return resumed


def _outcomes(encoder: Encoder, paths: Iterator[str], settings: dict[str, Any]) -> Generator[np.ndarray | str, None, None]:
    """Each picture's latent, or why it could not be read."""
    for batch in encoder.stream(paths, errors="skip", **settings):
        outcomes = dict(zip(batch.indices, batch.z, strict=True)) | {each.place: each.reason for each in batch.skipped}
        yield from (outcomes[place] for place in sorted(outcomes))


def _collect(latent_dim: int, names: list[str], outcomes: Iterator[np.ndarray | str], prefix: str) -> _Part:
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
    return _Part(files, np.stack(z) if z else np.empty((0, latent_dim), np.float32), skipped)


def _write_part(path: Path, part: _Part) -> None:
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, z=part.z, about=np.asarray(json.dumps([part.files, part.skipped])))


def _read_part(path: Path) -> _Part | None:
    """None for a part that is not there or not whole."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            files, skipped = json.loads(str(arrays["about"]))
            return _Part(files, arrays["z"], skipped)
    except DAMAGE:
        return None


def _merge(work: Path, output: Path, origin: Origin, resumed: int) -> Done:
    pictures = skipped = 0
    rejects = output.with_name(f"{output.name}.skipped.csv")
    with whole_file(output) as new, whole_file(rejects) as new_rejects:
        with Writer(new, output.suffix, origin) as writer, new_rejects.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["file", "reason"])
            for path, _ in _parts(work):
                part = _read_part(path)
                if part is None:
                    raise VectorsError(f"{path}: this part is damaged; the same command makes it again")
                writer.append(part.files, part.z)
                table.writerows([printable(name), printable(reason)] for name, reason in part.skipped)
                pictures, skipped = pictures + len(part.files), skipped + len(part.skipped)
        if not pictures:
            shutil.rmtree(work)
            raise VectorsError(f"{origin.folder}: none of its {skipped} pictures can be read")
    if not skipped:
        rejects.unlink()
    return Done(pictures, resumed, skipped, rejects if skipped else None)
