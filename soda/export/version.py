"""Which code made a file: the package's version and, in a git checkout, its commit."""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path

DISTRIBUTION = "soda-encoder"


def code_version(package: Path = Path(__file__).parents[1]) -> str:
    """E.g. "0.1.0+3f2a9c1d0b4e", with "-dirty" when files of the package differ from the commit; "0.1.0" outside a checkout.

    Only the package counts, since the outputs of a run are themselves changes to its checkout.
    """
    try:
        version = importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    commit = _git(package, "rev-parse", "--short=12", "HEAD")
    tracked = _git(package, "ls-files", "--", "__init__.py")  # else it is the checkout of something else around us
    if not commit or not tracked:
        return version
    return f"{version}+{commit}" + ("-dirty" if _git(package, "status", "--porcelain", "--", ".") else "")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
