"""Whether the stage `code` has anything new to say: fingerprints take two seconds of a processor, a look at times takes none.

The stamp is over name, size and times of every file of the packages, over what dataset.path names, over what the stage wrote, and
the version of Python. It lies in .dvc/tmp and is this copy's alone. Plain `dvc repro` does not ask it.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from soda.common.files import whole_file
from soda.common.fingerprint import PACKAGES
from soda.common.safekeeping import LOCK
from soda.common.watched import path_fingerprint
from soda.config import PARAMS_FILE, load
from soda.layout import CODE

STAMP = Path(".dvc/tmp/code.stamp")


def sources(root: Path) -> str:
    """Of all that fingerprints are taken of, from the file system's own notes: a change of a file cannot keep its change time.

    Raises ConfigError for a params.yaml that cannot be read.
    """
    digest = hashlib.sha256(sys.version.encode())
    digest.update(path_fingerprint(root / load(root / PARAMS_FILE).dataset.path).encode())
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if "__pycache__" not in path.parts and path.is_file():
                at = path.stat()
                digest.update(f"{path}:{at.st_size}:{at.st_mtime_ns}:{at.st_ctime_ns}:{at.st_ino}\n".encode())
    return digest.hexdigest()


def is_stamped(root: Path, of_sources: str) -> bool:
    """Whether `.code` and dvc.lock have the fingerprints of these sources already."""
    try:
        return (root / STAMP).read_text(encoding="ascii") == _with_result(root, of_sources)
    except (OSError, ValueError):
        return False


def stamp(root: Path, of_sources: str) -> None:
    """Note that the stage ran on these sources, as they were before it did."""
    with whole_file(root / STAMP) as temporary:
        temporary.write_text(_with_result(root, of_sources), encoding="ascii")


def _with_result(root: Path, of_sources: str) -> str:
    digest = hashlib.sha256(of_sources.encode())
    for path in sorted((root / CODE).glob("*")):
        digest.update(f"{path.name}:{path.read_text(encoding='utf-8')}\n".encode())
    recorded = (root / LOCK).exists() and f"path: {CODE.name}\n".encode() in (root / LOCK).read_bytes()
    return f"{digest.hexdigest()} {'recorded' if recorded else 'not recorded'}"
