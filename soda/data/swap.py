"""Folders that are replaced whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def previous(new: Path) -> Path:
    """The folder that `new`, handed out by `replacing`, is going to replace (it may not exist)."""
    return new.with_name(new.name.removesuffix(".new"))


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Hand out an empty sibling of `folder`, which takes its place when the block ends and goes away when it fails.

    What a killed run left behind is cleared first. Raises OSError when the disk is full or not writable.
    """
    new, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    folder.parent.mkdir(parents=True, exist_ok=True)
    if old.exists():
        if not folder.exists():
            os.replace(old, folder)  # killed between the two renames below
        else:
            shutil.rmtree(old)
    if new.exists():
        shutil.rmtree(new)
    new.mkdir()
    try:
        yield new
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
