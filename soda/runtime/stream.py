"""Pictures prepared in batches ahead of the model: files are decoded in threads while the batch before them is encoded."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from soda.runtime.file_slice import FileSlice
from soda.runtime.items import Item, square_pixels
from soda.runtime.preprocess import MAX_PIXELS, PictureError

AHEAD = 3
"""Batches that are drawn from the source before the first of them is encoded."""

_CHUNK = 8  # files a task: enough to make the cost of a task small, few enough to keep all threads busy
_Outcome: TypeAlias = np.ndarray | Exception
_Attempt: TypeAlias = Callable[[str, Item], _Outcome]


class Skipped(NamedTuple):
    """A picture that could not be read. place: its position among what was given."""

    place: int
    name: str
    reason: str


@dataclass(frozen=True)
class PixelBatch:
    """Pictures of one size: pixels (n, S, S, 3) uint8, n being 0 when none of the batch could be read."""

    indices: list[int]
    names: list[str]
    pixels: np.ndarray
    skipped: list[Skipped]


class _Pool:
    """Threads that are started when there is first more than one file to decode."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: ThreadPoolExecutor | None = None

    @property
    def busy(self) -> bool:
        """Whether files are decoded in the background."""
        return self._pool is not None

    def submit(self, attempt: _Attempt, work: list[tuple[int, str, Item]]) -> Future[list[_Outcome]]:
        if self._workers == 0:
            done: Future[list[_Outcome]] = Future()
            done.set_result([attempt(name, item) for _, name, item in work])
            return done
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="soda-decode")
        return self._pool.submit(lambda: [attempt(name, item) for _, name, item in work])

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


@dataclass
class _Drawn:
    """A batch as it was drawn: each picture is there already or will come out of a future."""

    names: list[str] = field(default_factory=list)
    ready: dict[int, _Outcome] = field(default_factory=dict)
    waiting: list[tuple[list[int], Future[list[_Outcome]]]] = field(default_factory=list)

    def outcomes(self) -> list[_Outcome]:
        for places, future in self.waiting:
            self.ready.update(zip(places, future.result(), strict=True))
        return [self.ready[place] for place in range(len(self.names))]


def default_workers() -> int:
    """Threads that decode: one for each core that this process may use, 8 at most."""
    return min(8, _cores())


def threads_beside(workers: int) -> int:
    """Threads of a model that encodes while so many others decode: the cores that are left, at least one.

    More would wait for one another at the end of every layer while the decoding threads have the cores.
    """
    return max(1, _cores() - workers)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pixel_batches(
    pictures: Iterable[tuple[str, Item]],
    *,
    size: int,
    resize: str,
    batch_size: int,
    workers: int,
    skip: bool,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[PixelBatch]:
    """Batches of pictures (name, picture) in their order, prepared as the training pictures were.

    Files are decoded by `workers` threads (0: none), AHEAD batches in advance; Pillow images and arrays at once, since whoever
    gives them may use them again. max_pixels: of a file. skip: leave out what is no readable picture (PictureError) instead of
    raising it. Raises what `square_pixels` raises.
    """
    source, pool = iter(pictures), _Pool(workers)
    attempt: _Attempt = partial(_attempt, size=size, resize=resize, max_pixels=max_pixels)
    queue: deque[_Drawn] = deque()
    start = 0
    try:
        while True:
            while len(queue) < AHEAD:
                drawn = _draw(islice(source, batch_size), pool, attempt)
                if not drawn.names:
                    break
                queue.append(drawn)
                if not pool.busy:
                    break  # nothing runs in the background: there is nothing to be ahead of
            if not queue:
                return
            first = queue.popleft()
            yield _batch(first, start, size, skip)
            start += len(first.names)
    finally:
        pool.close()


def _attempt(name: str, item: Item, **settings: Any) -> _Outcome:
    try:
        return square_pixels(name, item, **settings)
    except Exception as error:  # raised or noted where its turn comes
        return error


def _draw(chunk: Iterator[tuple[str, Item]], pool: _Pool, attempt: _Attempt) -> _Drawn:
    """Take a batch from the source. What is no file is copied before the next is taken: its owner may fill it again."""
    drawn = _Drawn()
    files: list[tuple[int, str, Item]] = []
    for place, (name, item) in enumerate(chunk):
        drawn.names.append(name)
        if isinstance(item, (str, os.PathLike, FileSlice)):
            files.append((place, name, item))
        else:
            outcome = attempt(name, item)
            drawn.ready[place] = outcome.copy() if isinstance(outcome, np.ndarray) else outcome
    if len(files) > 1 or pool.busy:
        for i in range(0, len(files), _CHUNK):
            work = files[i : i + _CHUNK]
            drawn.waiting.append(([place for place, _, _ in work], pool.submit(attempt, work)))
    else:
        drawn.ready |= {place: attempt(name, item) for place, name, item in files}
    return drawn


def _batch(drawn: _Drawn, start: int, size: int, skip: bool) -> PixelBatch:
    indices, names, pixels, skipped = [], [], [], []
    for place, outcome in enumerate(drawn.outcomes()):
        if isinstance(outcome, Exception):
            if not (skip and isinstance(outcome, PictureError)):
                raise outcome
            skipped.append(Skipped(start + place, drawn.names[place], str(outcome)))
        else:
            indices.append(start + place)
            names.append(drawn.names[place])
            pixels.append(outcome)
    return PixelBatch(indices, names, np.stack(pixels) if pixels else np.empty((0, size, size, 3), np.uint8), skipped)
