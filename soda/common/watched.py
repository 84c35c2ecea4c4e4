"""What the setting `dataset.path` names, as a fingerprint, which the stage `fetch` depends on in place of the files.

DVC would hash every file. It stops at a link that leads nowhere, a name that is no UTF-8 and a file that may not be read, and
waits at a pipe; `fetch` lists all of these, and they are left out.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

WATCHED = "pictures"
"""The file of `.code` that holds it."""


def path_fingerprint(path: Path) -> str:
    """Of a file's bytes; of the names, sizes and times of change of all files below a folder, hidden ones too.

    It opens no file of a folder. What is not there or may not be read has one too: `fetch` says what is wrong with it.
    """
    digest = hashlib.sha256(_state(os.fspath(path), with_time=False).encode())
    if path.is_file() and os.access(path, os.R_OK):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    for folder, names in _walk(path):
        inside = os.path.relpath(folder, path)
        for name in names:
            digest.update(os.fsencode(os.path.join(inside, name)) + _state(os.path.join(folder, name)).encode() + b"\n")
    return digest.hexdigest()


def _walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Folders, each with its files, in the order of their names. Linked folders are entered, too, each real folder once."""
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        at = os.stat(folder)
        if (at.st_dev, at.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((at.st_dev, at.st_ino))
        subfolders.sort()
        yield folder, sorted(names)


def _state(path: str, *, with_time: bool = True) -> str:
    try:
        at = os.stat(path)
    except OSError as error:
        return f":{error.errno}"
    return f":{stat.S_IFMT(at.st_mode)}" + (f":{at.st_size}:{at.st_mtime_ns}" if with_time else "")
