"""The folder of releases: which versions there are and which one is in use. Read by services that follow it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soda import layout
from soda.common.files import write_json
from soda.release import ReleaseError

ENCODER = layout.ENCODER.name
CURRENT = "current.json"
FACTS = "release.json"
METRICS = layout.METRICS.name
_VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
PARTS = ("major", "minor", "patch")


@dataclass(frozen=True)
class Pointer:
    """What `current.json` says. version: None before the first release; before: the versions that a way back leads to, last one
    first; withdrawn: those that were gone back from."""

    version: str | None
    before: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()


def read_pointer(releases: Path) -> Pointer:
    """Raises ReleaseError when the file is there and cannot be understood."""
    path = releases / CURRENT
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        named = [said["version"], *said["before"], *said["withdrawn"]]
        if not all(isinstance(each, str) and _VERSION.fullmatch(each) for each in named):
            raise ValueError("it does not name versions")
        return Pointer(said["version"], tuple(said["before"]), tuple(said["withdrawn"]))
    except FileNotFoundError:
        return Pointer(None)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"{path}: cannot be read ({error}); `soda rollback --to VERSION` writes it anew") from None


def versions(releases: Path) -> list[str]:
    """The versions that have a folder, the earliest first."""
    found = [each.name for each in releases.glob("v*") if _VERSION.fullmatch(each.name) and (each / FACTS).is_file()]
    return sorted(found, key=_numbers)


def next_version(known: list[str], part: str) -> str:
    """The version after all of `known`, which differs in that part; v1.0.0 for the first. Raises ReleaseError for no part."""
    if part not in PARTS:
        raise ReleaseError(f"part: {part!r} is not possible; it must be {', '.join(PARTS)}")
    numbers = [_numbers(each) for each in known if _VERSION.fullmatch(each)]
    if not numbers:
        return "v1.0.0"
    place, last = PARTS.index(part), max(numbers)
    return "v" + ".".join(map(str, [*last[:place], last[place] + 1, *[0] * (2 - place)]))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version[1:].split(".")))


def current_folder(releases: Path) -> Path:
    """The folder of the release in use. Raises ReleaseError when there is none."""
    version = read_pointer(releases).version
    if version is None:
        raise ReleaseError(f"{releases}: nothing is released yet; `soda release` makes the first")
    return folder_of(releases, version)


def folder_of(releases: Path, version: str) -> Path:
    """The folder of a version. Raises ReleaseError when it is not there."""
    folder = releases / version
    if not _VERSION.fullmatch(version) or not (folder / FACTS).is_file():
        raise ReleaseError(f"{releases}: there is no release {version!r}; there are {', '.join(versions(releases)) or 'none'}")
    return folder


def facts_of(folder: Path) -> dict[str, Any]:
    """What release.json says. Raises ReleaseError when it cannot be read."""
    return read_paper(folder / FACTS)


def read_paper(path: Path) -> dict[str, Any]:
    """A JSON file of a release. Raises ReleaseError when it cannot be read."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ReleaseError(f"{path}: cannot be read ({error})") from None


def point_to(releases: Path, version: str) -> None:
    """Make a version the one in use; the one until now is where the way back leads."""
    folder_of(releases, version)
    pointer = read_pointer(releases)
    before = [each for each in (pointer.version, *pointer.before) if each and each != version]
    _write(releases, Pointer(version, tuple(before), tuple(each for each in pointer.withdrawn if each != version)))


def point_back(releases: Path, to: str | None = None) -> tuple[str, str]:
    """Go back to the version before the one in use, or to that one. Returns both names, the left one first.

    A version that was gone back from is not gone back to by itself. Raises ReleaseError when there is no version to go to.
    """
    pointer = read_pointer(releases)
    left = [each for each in pointer.before if (releases / each / FACTS).is_file()]
    if pointer.version is None or not (to or left):
        raise ReleaseError(f"{releases}: there is no release before {pointer.version or 'the first'} to go back to")
    if to == pointer.version:
        raise ReleaseError(f"{releases}: {to} is in use already")
    goal = to or left[0]
    folder_of(releases, goal)
    if goal not in pointer.before:  # one that was left earlier: forward again
        point_to(releases, goal)
        return pointer.version, goal
    place = pointer.before.index(goal)
    gone = dict.fromkeys([pointer.version, *pointer.before[:place], *pointer.withdrawn])
    _write(releases, Pointer(goal, pointer.before[place + 1 :], tuple(each for each in gone if each != goal)))
    return pointer.version, goal


def _write(releases: Path, pointer: Pointer) -> None:
    said = {"version": pointer.version, "before": list(pointer.before), "withdrawn": list(pointer.withdrawn)}
    write_json(releases / CURRENT, {**said, "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})


@contextmanager
def held(releases: Path) -> Iterator[None]:
    """One release or way back at a time. Raises ReleaseError while another is made."""
    import fcntl

    releases.mkdir(parents=True, exist_ok=True)
    with (releases / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ReleaseError(f"{releases}: another release is being made there; wait for it") from None
        yield
