"""Brings what is new at a source - a folder, a DVC repository, any address that fsspec reads - into a folder of the project.

Nothing is brought twice: a record beside the folder has name, size and version of every file that came, also of those set aside.
Files that are taken away at the source stay. Names are checked and sizes bounded: a source is not trusted.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from soda.common.errors import FileError, InputError
from soda.common.files import whole_file, write_json

MOST_FILES = 1_000_000
MOST_BYTES = 1 << 30  # of one file


@dataclass(frozen=True)
class Batch:
    """What came: names below the folder, and their bytes; and what was refused, with the reason."""

    names: tuple[str, ...]
    size: int
    refused: tuple[str, ...] = ()


class _RefusedError(InputError):
    """A file that is left where it is; the others come."""


class Incoming:
    """The folder `into`, into which one source is brought."""

    def __init__(self, source: str, into: Path, repository: str = "") -> None:
        """repository: a DVC repository (folder or Git address), in which `source` is a path then."""
        self.source, self.into = source, into
        self._record = into.with_name(f"{into.name}.ingested.json")
        self._versions = into.with_name(f"{into.name}.versions.json")
        self._before = into.with_name(f"{into.name}.before")  # accepted files that this batch replaces
        self._pending: dict[str, Any] = {}
        self._came: set[str] = set()
        try:
            if repository:
                self._files, self._root = fsspec.filesystem("dvc", url=repository), source.strip("/")
            else:
                self._files, self._root = fsspec.core.url_to_fs(source)
        except (ImportError, ValueError) as error:
            raise InputError(f"source: {source!r} cannot be read: {error}") from None

    def fetch(self) -> Batch:
        """Bring what is new, each file whole or not at all. Raises FileError when the source cannot be read."""
        known, batch, refused, size = self._known(), list[str](), list[str](), 0
        self._came = set(known)
        for name, about in self._listed():
            mark = _mark(about)
            if known.get(name) == mark:
                continue
            known[name] = mark  # also of what is refused: it is said once
            try:
                size += self._bring(name, about)
            except _RefusedError as error:
                refused.append(str(error))
                continue
            batch.append(name)
        self._pending = known
        self._note(refused)
        return Batch(tuple(batch), size, tuple(refused))

    def _bring(self, name: str, about: dict[str, Any]) -> int:
        """One file, whole or not at all. Returns its bytes."""
        if int(about.get("size") or 0) > MOST_BYTES:
            raise _RefusedError(f"{self.source}: {name}: {about['size']:,} bytes are more than {MOST_BYTES:,}")
        target, before = self.into / name, self._before / name
        if name in self._came and target.exists() and not before.exists():
            with whole_file(before) as copy:
                shutil.copy2(target, copy)
        with whole_file(target) as temporary:
            self._copy(str(about["name"]), temporary, name)
            return temporary.stat().st_size

    @property
    def refused_list(self) -> Path:
        """Where the files that were left out are listed, with the reasons."""
        return self.into.with_name(f"{self.into.name}.rejected") / "refused.txt"

    def _note(self, refused: list[str]) -> None:
        if refused:  # a run that is made again finds them once more
            self.refused_list.parent.mkdir(parents=True, exist_ok=True)
            with self.refused_list.open("a+", encoding="utf-8") as file:
                file.seek(0)
                noted = file.read().splitlines()
                file.writelines(f"{each}\n" for each in refused if each not in noted)

    def _copy(self, path: str, temporary: Path, name: str) -> None:
        copied = 0
        try:
            with self._files.open(path, "rb") as file, temporary.open("wb") as copy:
                while chunk := file.read(1 << 20):
                    copied += len(chunk)
                    if copied > MOST_BYTES:
                        raise _RefusedError(f"{self.source}: {name}: more than {MOST_BYTES:,} bytes")
                    copy.write(chunk)
        except OSError as error:
            raise FileError(f"{self.source}: {name}: {error.strerror or error}") from error

    def accepted(self, version: str) -> None:
        """The gate let this version of the prepared data through."""
        write_json(self._versions, {**self._known_versions(), "accepted": version})

    def trained(self) -> None:
        """The accepted version was trained on."""
        write_json(self._versions, dict.fromkeys(("accepted", "trained"), self._known_versions().get("accepted")))

    @property
    def untrained(self) -> bool:
        """Whether the accepted version was not trained on yet: it is new, or the run that was to do it did not end well."""
        known = self._known_versions()
        return known.get("accepted") != known.get("trained")

    def _known_versions(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._versions.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def settle(self) -> None:
        """What came is dealt with, accepted or not: it does not come again."""
        write_json(self._record, self._pending)
        shutil.rmtree(self._before, ignore_errors=True)

    def set_aside(self, batch: Batch, why: str) -> Path:
        """Take a batch out of the folder again, into one beside it, with the reason; what it replaced comes back. Returns that
        folder."""
        number = 1
        while (aside := self.into.with_name(f"{self.into.name}.rejected") / f"{number:04d}").exists():
            number += 1
        for name in batch.names:
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(self.into / name, aside / name)
            if (self._before / name).exists():
                shutil.move(self._before / name, self.into / name)
        (aside / "why.txt").write_text(why + "\n", encoding="utf-8")
        return aside

    def _known(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._record.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            raise FileError(f"{self._record}: cannot be read ({error}); without it everything comes again") from None

    def _listed(self) -> list[tuple[str, dict[str, Any]]]:
        try:
            found = self._files.find(self._root, detail=True)
        except OSError as error:
            raise FileError(f"source: {self.source}: {error.strerror or error}") from None
        if not found:
            raise FileError(f"source: {self.source}: there is no file in it")
        if len(found) > MOST_FILES:
            raise InputError(f"source: {self.source}: {len(found):,} files are more than {MOST_FILES:,}")
        root = str(self._files._strip_protocol(self._root))
        return sorted((below(str(path), root), about) for path, about in found.items())


def below(path: str, root: str) -> str:
    """The name of a listed file below the source. Raises InputError for one that would lead elsewhere."""
    name = os.path.relpath(path, root) if root else path.lstrip("/")
    name = PurePosixPath(path).name if name == "." else name
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
        raise InputError(f"source: the name {path!r} leads out of the folder; nothing of it was taken")
    return name


def _mark(about: dict[str, Any]) -> str:
    """What tells one version of a file from the next, as far as the source says."""
    marks = [about.get(key) for key in ("size", "md5", "ETag", "etag", "mtime", "LastModified", "last_modified", "created")]
    marks.append((about.get("dvc_info") or {}).get("md5"))
    return "|".join(str(mark) for mark in marks if mark is not None)
