"""The parts of `soda embed` made by many workers, in other processes or on other machines: each gets a share of the parts.

What they have in common is a disk: folder, encoder and the hidden folder beside the output must be there for all of them under
one path. A part that is there and whole is not made again, so a share may be worked on any number of times, also by two at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from soda.runtime import Encoder
from soda.runtime.preprocess import MAX_PIXELS
from soda.vectors import VectorsError
from soda.vectors.job import Done, Job, fill, opened
from soda.vectors.origin import Origin
from soda.vectors.pieces import part_at, parts, read_part

PICTURES = 4096
"""Of a share, about: some seconds of work, so that handing it out costs nothing beside it."""

__all__ = ["Done", "Share", "make", "missing", "opened_job"]


@dataclass(frozen=True)
class Share:
    """Some parts for one worker. places: of the parts in the listing; pictures: in all of them. The rest is what `soda embed` was
    asked for; encoder_sha256 is what a worker's encoder has to be."""

    work: str
    folder: str
    encoder: str
    output: str
    encoder_sha256: str
    normalize: str | None
    batch_size: int
    max_pixels: int
    places: tuple[tuple[int, int], ...]
    pictures: int


@contextmanager
def opened_job(encoder: Path, folder: Path, output: Path, *, normalize: str | None = None, anew: bool = False) -> Iterator[Job]:
    """As `soda.vectors.job.opened`, for z of the encoder in that file."""
    with opened(Encoder(encoder, threads=1), folder, output, normalize=normalize, anew=anew) as job:
        yield job


def missing(
    job: Job, encoder: Path, *, pictures: int = PICTURES, batch_size: int = 64, max_pixels: int = MAX_PIXELS
) -> tuple[list[Share], int]:
    """What is missing of the job, in shares of about so many pictures, the same ones however many workers there are; and how
    many pictures are there already."""
    origin, there = job.origin, 0
    about = (str(job.work.resolve()), str(job.folder.resolve()), str(encoder.resolve()), origin.vectors, origin.encoder_sha256)
    settings = (origin.normalize, batch_size, max_pixels)
    found, places, count = list[Share](), list[tuple[int, int]](), 0
    for piece in parts(job.work):
        if part := read_part(piece.path):
            there += len(part.files)
            continue
        places.append(piece.place)
        count += len(piece.pictures)
        if count >= pictures:
            found.append(Share(*about, *settings, tuple(places), count))
            places, count = [], 0
    return found + ([Share(*about, *settings, tuple(places), count)] if places else []), there


def make(share: Share) -> int:
    """Make what is missing of the share, each part whole or not at all. Returns how many pictures were there already.

    One thread decodes and encodes: more of them are more workers. Each part is a stream of its own, so that its bytes do not
    depend on what is made before it. Raises VectorsError where the encoder is another one here, OSError as the disk does.
    """
    encoder, work, folder = _encoder(share.encoder, share.output, share.encoder_sha256), Path(share.work), Path(share.folder)
    settings = {"normalize": share.normalize, "batch_size": share.batch_size, "max_pixels": share.max_pixels, "workers": 0}
    return sum(fill(encoder, folder, [part_at(work, place)], settings) for place in share.places)


@lru_cache(maxsize=1)
def _encoder(path: str, output: str, sha256: str) -> Encoder:
    """Loaded once a process."""
    encoder = Encoder(path, output=output, threads=1)
    if Origin.of(encoder, Path(), None).encoder_sha256 != sha256:
        raise VectorsError(f"{path}: it is another encoder for this worker than for the run that hands out the work")
    return encoder
