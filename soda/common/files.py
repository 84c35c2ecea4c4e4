"""Files: written whole or not at all, so that a stage that fails leaves the earlier result as it was; their hash."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from soda.common.errors import FileError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """A name that leads through a file, or is a folder's, is for the person who gave it."""
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise FileError(f"{path}: cannot be written ({error.strerror})") from error


def _sibling(path: Path, role: str) -> Path:
    return path.with_name(f".{path.name}.{role}-{uuid.uuid4().hex[:8]}")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; it becomes `path` when the block ends well and vanishes when it raises."""
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _sibling(path, "new")
    try:
        yield temporary
        with _named(path):
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(path: Path) -> None:
    """Raise OSError now where `whole_file` could not write `path` later; nothing is left behind."""
    folder = path.parent
    with _named(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        while not folder.exists():  # it would be made
            folder = folder.parent
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    temporary = _sibling(folder / path.name, "new")
    temporary.touch(exist_ok=False)
    temporary.unlink()


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; it takes the place of `path` when the block ends well, else it vanishes.

    What a killed run left is put right first: half-filled folders go, and a result set aside for its successor comes back.
    """
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    for left in sorted(path.parent.glob(f".{path.name}.old-*")):
        if path.exists():
            shutil.rmtree(left)
        else:
            os.replace(left, path)
    for left in path.parent.glob(f".{path.name}.new-*"):
        shutil.rmtree(left)
    temporary, old = _sibling(path, "new"), _sibling(path, "old")
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)


@contextmanager
def held_folder(path: Path) -> Iterator[None]:
    """Hold the folder `path`, which is made, for one user at a time. Raises BlockingIOError while another one holds it.

    The operating system frees it when its holder is gone. On Windows, and on disks without locks, nothing is held.
    """
    while True:
        path.mkdir(parents=True, exist_ok=True)
        if fcntl is None:
            yield
            return
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # its holder has just taken it away
            continue
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise
            except OSError:
                pass  # a disk without locks
            if not path.exists() or not os.path.samestat(os.fstat(handle), path.stat()):
                continue  # taken away between opening and locking
            yield
            return
        finally:
            os.close(handle)


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
