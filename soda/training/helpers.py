"""The processes that training starts on this machine: this one leads, the others are helpers and end with it."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from soda.common.cores import keep_freed_memory
from soda.common.errors import SodaError
from soda.training.distributed import LostProcessError, Rendezvous

T = TypeVar("T")
START = 300.0
"""Seconds in which all helpers must be there."""
END = 20.0
"""Seconds that a helper has to end by itself, after the leading process has ended its work or given it up."""
_HOST = "127.0.0.1"


def with_helpers(work: Callable[..., T], count: int, threads: int, arguments: tuple[Any, ...]) -> T:
    """`work(*arguments, meeting=...)` in `count` processes of so many threads. Returns what it returns in the first, here.

    work: importable by its name; arguments: such as can be pickled. Raises what `work` raises here, and LostProcessError when a
    helper ends before all of them are there.
    """
    if threads:
        torch.set_num_threads(threads)
    if count == 1:
        return work(*arguments, meeting=None)
    if sys.platform.startswith("linux"):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # else gloo asks the name server for this machine's address
    store = dist.TCPStore(_HOST, 0, is_master=True, wait_for_workers=False)  # port 0: one that is free
    with _helpers(work, count, threads, store.port, arguments) as started:
        _wait_until_there(store, started)
        return work(*arguments, meeting=Rendezvous(0, count, store))


@contextmanager
def _helpers(
    work: Callable[..., Any], count: int, threads: int, port: int, arguments: tuple[Any, ...]
) -> Iterator[list[SpawnProcess]]:
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    started: list[SpawnProcess] = []
    try:
        for rank in range(1, count):
            helper = context.Process(
                target=_help, args=(work, rank, count, threads, port, arguments), name=f"train-{rank}", daemon=True
            )
            helper.start()
            started.append(helper)
        yield started
    finally:
        deadline = time.monotonic() + END
        for helper in started:
            helper.join(max(0.0, deadline - time.monotonic()))
            if helper.is_alive():
                helper.kill()
                helper.join()


def _wait_until_there(store: dist.TCPStore, started: list[SpawnProcess]) -> None:
    deadline = time.monotonic() + START
    names = [_present(rank) for rank in range(1, len(started) + 1)]
    while not store.check(names):
        for rank, helper in enumerate(started, 1):
            if helper.exitcode is not None:
                raise LostProcessError(
                    f"process {rank} of {len(started) + 1} ended (exit code {helper.exitcode}) before training began"
                )
        if time.monotonic() > deadline:
            raise LostProcessError(f"not all of {len(started) + 1} processes were there after {START:.0f} s")
        time.sleep(0.02)


def _present(rank: int) -> str:
    return f"present/{rank}"


def _help(work: Callable[..., Any], rank: int, count: int, threads: int, port: int, arguments: tuple[Any, ...]) -> None:
    """What a helper does. The leading process tells the person what went wrong, so that only a bug of ours is shown here."""
    keep_freed_memory()
    if threads:
        torch.set_num_threads(threads)
    try:
        store = dist.TCPStore(_HOST, port, is_master=False, timeout=timedelta(seconds=START))
        store.set(_present(rank), "1")
        work(*arguments, meeting=Rendezvous(rank, count, store))
    except (SodaError, KeyboardInterrupt):
        sys.exit(1)
