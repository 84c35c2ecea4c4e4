"""A person's folder, looked through before DVC is asked about it: DVC hashes every file there is, and stops or hangs on some.

Pictures that cannot be decoded are another matter: the fetch and prepare stages list and leave them out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from soda.config import ConfigError

_SHOWN = 5


def require_hashable(folder: Path) -> None:
    """Raises ConfigError naming files below `folder` that DVC cannot hash: dangling links, pipes and other special files, names
    that are no UTF-8, and what may not be read."""
    found = list(_unhashable(folder)) if folder.is_dir() else []
    if found:
        shown = "\n".join(f"- {path}: {why}" for path, why in found[:_SHOWN])
        more = f"\n- and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ConfigError(
            f"dataset.path: {folder}: DVC keeps watch over every file of it and cannot read {len(found)}:\n{shown}{more}\n"
            "Remove or mend them, or name a copy without them."
        )


def _walk(root: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """As os.walk, from above, hidden files and all; linked folders are entered, too, each real folder once, as DVC does."""
    seen: set[str] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        yield folder, subfolders, files


def _unhashable(folder: Path) -> Iterator[tuple[str, str]]:
    for parent, subfolders, files in _walk(folder):
        for name in sorted([*subfolders, *files]):
            path = os.path.join(parent, name)
            if why := _why_not(path):
                yield os.fsencode(path).decode("utf-8", "backslashreplace"), why


def _why_not(path: str) -> str:
    try:
        path.encode("utf-8")
        mode = os.stat(path).st_mode
    except UnicodeEncodeError:
        return "its name is not valid UTF-8"
    except OSError as error:
        return (
            f"a link that leads nowhere ({os.readlink(path)})" if os.path.islink(path) else (error.strerror or str(error)).lower()
        )
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return "a pipe, a socket or a device"
    return "" if os.access(path, os.R_OK) else "permission denied"
