"""Whether a project's files are those of an undisturbed run.

Two undisturbed runs say which files hold times: those are compared by what is in them besides the times, or, where they are
pages and drawings, by being there.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import yaml

_COMPARED = ("data/raw", "data/prepared", "models", "reports", "dvc.lock", "params.yaml")
_TIMES = re.compile(r"second|_ms\b|_ms_|time|per_s|mtime")
_READ = {".json": json.loads, ".lock": yaml.safe_load, ".yaml": yaml.safe_load}


def files(world: Path) -> dict[str, Path]:
    """What stages made, by its name in the project."""
    found: dict[str, Path] = {}
    for part in _COMPARED:
        top = world / part
        inside = sorted(top.rglob("*")) if top.is_dir() else [top]
        found |= {str(path.relative_to(world)): path for path in inside if path.is_file()}
    return found


def _leaves(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        value = {str(key): each for key, each in value.items()}
    elif isinstance(value, list):
        value = {str(number): each for number, each in enumerate(value)}
    else:
        return {name: value}
    return {at: leaf for key, each in value.items() for at, leaf in _leaves(each, f"{name}/{key}").items()}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Undisturbed:
    """What an undisturbed run left, as two of them agree on it."""

    def __init__(self, one: Path, other: Path) -> None:
        here, there = files(one), files(other)
        self.names = set(here)
        self.digests = {name: _digest(path) for name, path in here.items() if name in there}
        self.volatile = {name for name in here if name in there and self.digests[name] != _digest(there[name])}
        self.leaves: dict[str, dict[str, Any]] = {}
        for name in self.volatile:
            if read := _READ.get(here[name].suffix):
                first, second = _leaves(read(here[name].read_text())), _leaves(read(there[name].read_text()))
                agreed = {at: leaf for at, leaf in first.items() if second.get(at) == leaf and not _TIMES.search(at)}
                self.leaves[name] = self._without_volatile(agreed)
        self.disagreed = sorted(set(here) ^ set(there))

    def _without_volatile(self, leaves: dict[str, Any]) -> dict[str, Any]:
        """dvc.lock without size and hash of files that hold times, whose length goes with the digits of a time."""
        named = {at.removesuffix("path"): leaf for at, leaf in leaves.items() if at.endswith("/path")}
        held = [at for at, path in named.items() if any(f"{each}/".startswith(f"{path}/") for each in self.volatile)]
        left_out = {f"{at}{what}" for at in held for what in ("size", "md5", "nfiles")}
        return {at: leaf for at, leaf in leaves.items() if at not in left_out}

    @property
    def by_presence(self) -> list[str]:
        """Files of which only the presence is compared."""
        return sorted(self.volatile - self.leaves.keys())

    def differences(self, world: Path) -> list[str]:
        """What in `world` is not as it should be."""
        found = files(world)
        wrong = [f"{name} is missing" for name in sorted(self.names - found.keys())]
        wrong += [f"{name} is one too many" for name in sorted(found.keys() - self.names)]
        for name in sorted(self.names & found.keys()):
            if name not in self.volatile:
                if self.digests.get(name) != _digest(found[name]):
                    wrong.append(f"{name} differs")
            elif name in self.leaves:
                now = _leaves(_READ[found[name].suffix](found[name].read_text()))
                off = [at for at, leaf in self.leaves[name].items() if now.get(at) != leaf]
                wrong += [f"{name} differs at {', '.join(off[:3])}"] if off else []
        return wrong
