"""What a preparation that was killed had decoded, so that the next one goes on from there instead of from the first picture.

Jobs are kept beside the prepared data, each in a file, until all are done. A file counts for the same pictures alone, read from
the same files by the same settings and code.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from soda.common.files import whole_file
from soda.common.fingerprint import code_fingerprint
from soda.config import DatasetConfig
from soda.data.pixels import Loader, Measured, process

WORTH = 1000
"""Pictures from which on anything is kept."""
_A_FOLDER = 1000  # files of one folder

Done = tuple[list[Measured | str], np.ndarray]


def folder_of(prepared: Path) -> Path:
    """Where the jobs of what becomes `prepared` are kept."""
    return prepared.with_name(f".{prepared.name}.unfinished")


def files_of(prepared: Path) -> Iterator[Path]:
    """The file of each job in turn; what other code left goes."""
    code = code_fingerprint("soda.data.prepare")[:16]
    if folder_of(prepared).exists():
        for other in folder_of(prepared).iterdir():
            if other.name != code:
                shutil.rmtree(other, ignore_errors=True)
    for job in itertools.count():
        yield folder_of(prepared) / code / f"{job // _A_FOLDER:05d}" / f"{job % _A_FOLDER:03d}.npz"


def process_once(
    file: Path | None, loaders: Sequence[Loader], names: Sequence[str], settings: DatasetConfig
) -> tuple[list[Measured | str], np.ndarray, bool]:
    """As `process`, unless `file` has it already; whether it had. What cannot be written is not kept."""
    if file is None:
        return *process(loaders, names, settings), False
    key = _key(loaders, names, settings)
    if (kept := _read(file, key)) is not None:
        return *kept, True
    done = process(loaders, names, settings)
    with suppress(OSError):
        _write(file, key, done)
    return *done, False


def _key(loaders: Sequence[Loader], names: Sequence[str], settings: DatasetConfig) -> str:
    """Of all that decides what `process` gives: loaders say where they read, the files there when they were last written."""
    seen: dict[str, tuple[int, int]] = {}
    for path in {load.path for load in loaders if hasattr(load, "path")}:
        with suppress(OSError):
            status = os.stat(path)
            seen[str(path)] = (status.st_size, status.st_mtime_ns)
    of_pictures = replace(settings, workers=0, max_unreadable=0.0, duplicates="keep")
    return hashlib.sha256(pickle.dumps((list(loaders), list(names), of_pictures, sorted(seen.items())))).hexdigest()


def _read(file: Path, key: str) -> Done | None:
    try:
        with np.load(file) as kept:
            said = json.loads(kept["results"].tobytes())
            if said["key"] != key:
                return None
            return [each if isinstance(each, str) else Measured(**each) for each in said["results"]], kept["pixels"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # none, or cut short by a failure of power
        return None


def _write(file: Path, key: str, done: Done) -> None:
    results, pixels = done
    said = {"key": key, "results": [each if isinstance(each, str) else asdict(each) for each in results]}
    content = io.BytesIO()
    np.savez(content, pixels=pixels, results=np.frombuffer(json.dumps(said).encode(), np.uint8))
    with whole_file(file) as part:
        part.write_bytes(content.getbuffer())
