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
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from soda.files import whole_file
from soda.runtime import Encoder, Skipped, pictures_in
from soda.runtime.progress import Line
from soda.vectors import VectorsError
from soda.vectors.store import DAMAGE, SUFFIXES, Origin, Writer, printable, require_pyarrow

PART = 4096
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
    progress: bool = False,
) -> Done:
    """Embed every picture in `folder` and below it into `output` (.parquet or .npz), in the order of their paths.

    An interrupted run is continued unless the folder, the encoder or the normalisation changed. Memory does not grow with the
    number of pictures (but for .npz). Raises VectorsError for another suffix and for a folder without a readable picture,
    NotADirectoryError for no folder, OSError when the disk is full; an earlier output then stays.
    """
    if output.suffix not in SUFFIXES:
        raise VectorsError(f"{output}: cannot be written; it wants one of {', '.join(SUFFIXES)}")
    if output.suffix == ".parquet":
        require_pyarrow(output)
    if output.is_dir():
        raise VectorsError(f"{output}: cannot be written; there is a folder of this name")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    origin = Origin.of(encoder, folder, normalize)
    work = output.with_name(f".{output.name}.parts")
    work.mkdir(parents=True, exist_ok=True)
    count = _list(folder, work, origin)
    earlier = set(work.glob("*.npz"))
    strangers = earlier - {path for path, _ in _parts(work)} if earlier else earlier  # a million names are not read for nothing
    if not count:
        if not strangers:  # the parts of an earlier run stay: the pictures may lie on a disk that is not there today
            shutil.rmtree(work)
        raise VectorsError(f"{folder}: there is no picture in it")
    if strangers:
        about = "other pictures, another encoder or other settings; they go when this one is done"
        _log.warning("%s: %d parts of an earlier run are of %s", work, len(strangers), about)
    settings: dict[str, Any] = {"normalize": normalize, "batch_size": batch_size, "workers": workers}
    resumed = _fill(encoder, folder, work, settings, Line() if progress else None)
    done = _merge(work, output, origin, resumed)
    shutil.rmtree(work)
    return done


def _list(folder: Path, work: Path, origin: Origin) -> int:
    """Write the listing: what the job is about, then a line a picture. Returns the number of pictures."""
    count = 0
    with whole_file(work / LISTING) as temporary, temporary.open("w", encoding="ascii") as file:
        file.write(json.dumps(asdict(origin)) + "\n")
        for name in pictures_in(folder):
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


def _fill(encoder: Encoder, folder: Path, work: Path, settings: dict[str, Any], line: Line | None) -> int:
    """Make the parts that are missing. Returns how many pictures those that were there hold."""
    resumed = done = 0
    try:
        for path, names in _parts(work):
            found = _read_part(path)
            if found is not None:
                resumed += len(found[0])
            else:
                _embed_part(encoder, folder, names, path, settings, partial(_report, line, done))
            done += len(names)
    finally:
        if line:
            line.close()
    return resumed


def _report(line: Line | None, before: int, done: int) -> None:
    if line:
        line(before + done)


def _embed_part(encoder: Encoder, folder: Path, names: list[str], path: Path, settings: dict[str, Any], progress: Any) -> None:
    files: list[str] = []
    parts = [np.empty((0, encoder.latent_dim), np.float32)]
    skipped: list[list[str]] = []
    paths = (os.path.join(folder, name) for name in names)
    for batch in encoder.stream(paths, errors="skip", progress=progress, **settings):
        files += [names[place] for place in batch.indices]
        parts.append(batch.z)
        skipped += [[names[each.place], _reason(each, folder)] for each in batch.skipped]
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, z=np.concatenate(parts), about=np.asarray(json.dumps([files, skipped])))


def _reason(skipped: Skipped, folder: Path) -> str:
    return skipped.reason.replace(f"{folder}{os.sep}", "")


def _read_part(path: Path) -> tuple[list[str], np.ndarray, list[list[str]]] | None:
    """Names, latents and what was skipped; None for a part that is not there or not whole."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            files, skipped = json.loads(str(arrays["about"]))
            return files, arrays["z"], skipped
    except DAMAGE:
        return None


def _merge(work: Path, output: Path, origin: Origin, resumed: int) -> Done:
    pictures = skipped = 0
    rejects = output.with_name(f"{output.stem}.skipped.csv")
    with whole_file(output) as new, whole_file(rejects) as new_rejects:
        with Writer(new, output.suffix, origin) as writer, new_rejects.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["file", "reason"])
            for path, _ in _parts(work):
                part = _read_part(path)
                if part is None:
                    raise VectorsError(f"{path}: this part is damaged; the same command makes it again")
                writer.append(part[0], part[1])
                table.writerows([printable(name), printable(reason)] for name, reason in part[2])
                pictures, skipped = pictures + len(part[0]), skipped + len(part[2])
        if not pictures:
            shutil.rmtree(work)
            raise VectorsError(f"{origin.folder}: none of its {skipped} pictures can be read")
    if not skipped:
        rejects.unlink()
    return Done(pictures, resumed, skipped, rejects if skipped else None)
