"""What else can happen to a run that was killed. Each is a context, in which the same command is to be enough."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

Run = Callable[[], tuple[int, str]]
MIB = 1 << 20


@contextmanager
def cache_deleted(world: Path, run: Run) -> Iterator[dict[str, str]]:
    """DVC's cache is gone."""
    shutil.rmtree(world / ".dvc/cache", ignore_errors=True)
    yield {}


_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
#define BACK 172800
int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec -= BACK;
    return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    now->tv_sec = at.tv_sec;
    now->tv_usec = at.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *where) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (where) *where = at.tv_sec;
    return at.tv_sec;
}
"""


@contextmanager
def clock_back(world: Path, run: Run) -> Iterator[dict[str, str]]:
    """The clock of all that runs goes back by two days, that of the files does not; without a C compiler the files go ahead.

    Not libfaketime: under 0.9.10 of Debian 12 every time.sleep of Python 3.11 fails with EINVAL.
    """
    library = world.with_name("clock.so")
    compiled = ["cc", "-shared", "-fPIC", "-o", str(library), "-x", "c", "-", "-ldl"]
    if shutil.which("cc") and subprocess.run(compiled, input=_CLOCK, text=True, check=False, capture_output=True).returncode == 0:
        yield {"LD_PRELOAD": str(library)}
        return
    for path in world.rglob("*"):
        if path.is_file() and not path.is_symlink() and ".git" not in path.parts:
            times = path.stat()
            os.utime(path, (times.st_atime + 172800, times.st_mtime + 172800))
    yield {}


@contextmanager
def recycled_numbers(world: Path, run: Run) -> Iterator[dict[str, str]]:
    """A stranger has the process number that every lock names."""
    with subprocess.Popen(["sleep", "600"]) as stranger:
        for name in ("pipeline.json", "rwlock"):
            path = world / ".dvc/tmp" / name
            record = json.loads(path.read_text() or "{}") if path.exists() else {}
            if name == "rwlock":  # as of a DVC that was killed in the middle of a stage
                entry = {"pid": stranger.pid, "cmd": "dvc repro"}
                record = {
                    "write": {str(world / "data/raw"): entry, str(world / "models/soda"): entry},
                    "read": {str(world / "dvc.yaml"): [entry]},
                }
            elif record:
                record["pid"] = stranger.pid
            path.write_text(json.dumps(record))
        try:
            yield {}
        finally:
            stranger.kill()


@contextmanager
def _small_disk(world: Path, room: int) -> Iterator[None]:
    """`world` on a disk of its own with that many bytes left (root alone may mount)."""
    aside = world.with_name("aside")
    shutil.rmtree(aside, ignore_errors=True)
    world.rename(aside)
    world.mkdir()
    needed = int(
        subprocess.run(["du", "-s", "--block-size=1", str(aside)], check=True, capture_output=True, text=True).stdout.split()[0]
    )
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={needed + room}", "chaos", str(world)], check=True)
    try:
        subprocess.run(["cp", "-a", f"{aside}/.", str(world)], check=True)
        yield
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        subprocess.run(["cp", "-a", str(world), str(aside)], check=True)
        subprocess.run(["umount", "-l", str(world)], check=True)
        world.rmdir()
        aside.rename(world)


@contextmanager
def full_disk(world: Path, run: Run) -> Iterator[dict[str, str]]:
    """A run on a disk with 200 kB left; then there is room."""
    with _small_disk(world, 256 * MIB):
        free = os.statvfs(world).f_bavail * os.statvfs(world).f_frsize
        ballast = world / ".dvc/ballast"
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, free - 200_000))
        run()
        ballast.unlink()
        yield {}


@contextmanager
def read_only(world: Path, run: Run) -> Iterator[dict[str, str]]:
    """A run in a workspace that cannot be written to; then it can."""
    with _small_disk(world, 256 * MIB):
        subprocess.run(["mount", "-o", "remount,ro", str(world)], check=True)
        run()
        subprocess.run(["mount", "-o", "remount,rw", str(world)], check=True)
        yield {}


MISFORTUNES: dict[str, Callable[[Path, Run], AbstractContextManager[dict[str, str]]]] = {
    "cache deleted": cache_deleted,
    "clock back two days": clock_back,
    "recycled process numbers": recycled_numbers,
    "full disk": full_disk,
    "read-only workspace": read_only,
}
