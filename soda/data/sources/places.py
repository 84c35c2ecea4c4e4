"""Files with known checksums, from the first place that has them all; nothing else is accepted, wherever it is from."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from soda.config import DatasetConfig
from soda.data.sources.base import SourceError, UnreachableError, settings_of
from soda.data.sources.download import DownloadError

Place = tuple[str, Callable[[list[str], Path], None]]
"""A name, and what puts the named files into a folder, or raises DownloadError or SourceError."""

NAMES = {"md5": "MD5", "sha256": "SHA-256", "sha512": "SHA-512"}

logger = logging.getLogger(__name__)


def first_place(what: str, places: Sequence[Place], sums: Mapping[str, str], into: Path, algorithm: str, remedy: str = "") -> str:
    """Fill `into` from the first place that has all files of `sums` as they should be, and return its name.

    Args:
        what: what the files are, for messages.
        sums: file name -> checksum, hexadecimal.
        remedy: what a person can do where none has them.

    Raises:
        UnreachableError: naming every place and what was wrong there.
    """
    failures = []
    for place, get in places:
        try:
            get(list(sums), into)
            for name, wanted in sums.items():
                check_sum(into / name, wanted, algorithm)
        except (DownloadError, SourceError) as error:
            failures.append(f"  {place}: {error}")
            logger.info("not from %s: %s", place, error)
            continue
        logger.info("%s from %s", what, place)
        return place
    raise UnreachableError(f"{what} could not be had from any of these places:\n" + "\n".join(failures) + remedy)


def check_sum(path: Path, wanted: str, algorithm: str) -> None:
    """Raises SourceError naming the file and both sums unless it has this checksum."""
    found = sum_of(path, algorithm)
    if found != wanted:
        said = f"its {NAMES[algorithm]} is {_short(found)}, it should be {_short(wanted)}"
        raise SourceError(f"{path}: {said}; it is damaged or another version")


def sum_of(path: Path, algorithm: str = "sha256", setting: str = "") -> str:
    """A file's checksum, hexadecimal. Raises SourceError naming the file, and the setting that names it."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise SourceError(f"{setting + ': ' if setting else ''}{path}: cannot be read ({error.strerror})") from None


def made_with(config: DatasetConfig, *settings: str) -> dict[str, str]:
    """What is drawn or built depends on: the content of the file dataset.path, and these settings of `dataset`."""
    return {"dataset.path SHA-256": sum_of(Path(config.path), setting="dataset.path")} | settings_of(config, *settings)


def read_sums(path: Path, algorithm: str, form: str = "<file name>", pattern: str = r"[^/]+") -> dict[str, str]:
    """The lines "<checksum>  <file name>" of dataset.path, as md5sum and its kin write them: name -> checksum.

    Raises SourceError naming the line. `form` and `pattern` say how file names look, to a person and as a regular expression.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"dataset.path: {path}: the list of {NAMES[algorithm]} sums cannot be read ({error})") from None
    sums: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        digest, _, name = line.strip().partition(" ")
        digest, name = digest.lower(), name.strip().lstrip("*")
        proper = len(digest) == 2 * hashlib.new(algorithm).digest_size and set(digest) <= set("0123456789abcdef")
        if not proper or not re.fullmatch(pattern, name):
            raise SourceError(f"{path}, line {number}: {line!r} is not '<{algorithm}>  {form}'")
        sums[name] = digest
    return sums


def _short(digest: str) -> str:
    return digest if len(digest) <= 64 else f"{digest[:16]}…"
