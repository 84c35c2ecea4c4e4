"""Mapping over processes with bounded memory and results in order."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from soda.common.bar import Bar

T = TypeVar("T")
R = TypeVar("R")


def worker_count(wanted: int) -> int:
    """`wanted` processes, or one for each core that this process may use when it is 0."""
    if wanted > 0:
        return wanted
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def process_pool(workers: int) -> Iterator[Executor]:
    """Worker processes that are safe beside threads (never a plain fork); what is still queued is dropped on an error."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def ordered_map(
    pool: Executor | None, work: Callable[..., R], jobs: Iterable[tuple[T, tuple[Any, ...]]], in_flight: int
) -> Iterator[tuple[T, R]]:
    """Yield (tag, work(*args)) for each (tag, args) of `jobs`, in their order.

    At most `in_flight` jobs are taken from the iterator before the oldest result is asked for, so memory does not grow with
    the number of jobs. Without a pool the work is done here.
    """
    if pool is None:
        for tag, args in jobs:
            yield tag, work(*args)
        return
    waiting: deque[tuple[T, Future[R]]] = deque()
    for tag, args in jobs:
        waiting.append((tag, pool.submit(work, *args)))
        if len(waiting) >= in_flight:
            first, future = waiting.popleft()
            yield first, future.result()
    while waiting:
        first, future = waiting.popleft()
        yield first, future.result()


def spread(
    work: Callable[..., Sequence[R]], jobs: Sequence[tuple[Any, ...]], workers: int, *, total: int, desc: str, unit: str
) -> Iterator[R]:
    """Yield all that `work(*job)` returns for each job, in order, from so many processes, with a progress bar of `total`."""
    workers = min(worker_count(workers), len(jobs))
    with ExitStack() as stack:
        pool = stack.enter_context(process_pool(workers)) if workers > 1 else None
        bar = stack.enter_context(Bar(total=total, desc=desc, unit=unit, leave=False))
        for _, results in ordered_map(pool, work, ((None, job) for job in jobs), workers * 3):
            yield from results
            bar.update(len(results))
