"""What else can happen to a run that was killed. Each is a context, in which the same command is to be enough."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from glob import glob
from pathlib import Path

Run = Callable[[], tuple[int, str]]
MIB = 1 << 20


@contextmanager
def cache_deleted(world: Path, run: Run) -> Iterator[dict[str, str]]:
    """DVC's cache is gone."""
    shutil.rmtree(world / ".dvc/cache", ignore_errors=True)
    yield {}


@contextmanager
def clock_back(world: Path, run: Run) -> Iterator[dict[str, str]]:
    """The clock of all that runs goes back by two days: libfaketime where it is installed, else all files are two days ahead."""
    found = glob("/usr/lib/*/faketime/libfaketime.so.1")
    if found:
        yield {"LD_PRELOAD": found[0], "FAKETIME": "-2d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
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
