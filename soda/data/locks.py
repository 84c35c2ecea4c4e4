"""Files that are locked by whoever uses them; the operating system frees them when their holder is gone."""

from __future__ import annotations

import os
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # Windows, where nothing is held
    fcntl = None  # type: ignore[assignment]


def locked(path: Path, *, shared: bool = False, wait: bool = True, create: bool = False) -> int | None:
    """Open and lock a file; the lock lasts until the handle that is returned is closed.

    shared: beside others that share it. wait: for whoever has it; else None comes back while somebody has. None, too, where there
    is no such file, unless it is to be made.
    """
    while True:
        try:
            handle = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o666)
        except FileNotFoundError:
            return None
        try:
            if fcntl is not None:
                fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
            if os.path.samestat(os.fstat(handle), path.stat()):  # else it was taken away between opening and locking
                return handle
        except BlockingIOError:
            os.close(handle)
            return None
        except FileNotFoundError:
            pass
        os.close(handle)
