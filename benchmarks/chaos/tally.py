"""The figures of a campaign, written after every kill, so that one that was stopped has some."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soda.common.files import write_json


@dataclass
class Round:
    """What happened in one: kills as (kind, stage, aimed), other misfortunes, what was wrong at its end."""

    struck: Callable[[], None]
    kills: list[tuple[str, str, bool]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def kill(self, kind: str, stage: str, aimed: bool = False) -> None:
        """Note one."""
        self.kills.append((kind, stage, aimed))
        self.struck()


class Tally:
    """Kills and other misfortunes, by kind and by stage, and what became of them."""

    def __init__(self, path: Path, seed: int, resume: bool = False) -> None:
        self.path, self._guard = path, threading.Lock()
        self.figures: dict[str, Any] = {
            "kills": 0, "aimed": 0, "recovered": 0, "stuck": 0, "kills_under_way": 0, "seed": seed, "minutes": 0.0,
            "misfortunes": 0, "misfortunes_recovered": 0, "rounds": 0, "by_kind": {}, "by_stage": {}, "failures": [],
        }  # fmt: skip
        if resume and path.exists():
            self.figures |= {**json.loads(path.read_text(encoding="utf-8")), "kills_under_way": 0}
        self.started = time.time() - 60 * self.figures["minutes"]

    def note(self, **facts: Any) -> None:
        """Further figures."""
        with self._guard:
            self.figures |= facts
            self._write()

    def struck(self) -> None:
        """A kill, of a round that is not over yet: only its end says whether it recovered."""
        with self._guard:
            self.figures["kills_under_way"] += 1
            self._write()

    def add(self, kills: list[tuple[str, str, bool]], others: list[str], wrong: list[str]) -> None:
        """A round: its kills (kind, stage, aimed), its other misfortunes, and what was wrong at its end."""
        with self._guard:
            figures, good = self.figures, not wrong
            figures["rounds"] += 1
            figures["kills"] += len(kills)
            figures["kills_under_way"] -= len(kills)
            figures["aimed"] += sum(aimed for *_, aimed in kills)
            figures["recovered" if good else "stuck"] += len(kills)
            figures["misfortunes"] += len(others)
            figures["misfortunes_recovered"] += len(others) * good
            for group, names in (
                ("by_kind", [*(kind for kind, *_ in kills), *others]),
                ("by_stage", [stage for _, stage, _ in kills]),
            ):
                for name in names:
                    entry = figures[group].setdefault(name, {"tries": 0, "recovered": 0})
                    entry["tries"] += 1
                    entry["recovered"] += good
            if wrong:
                figures["failures"].append({"kills": [kind for kind, *_ in kills], "others": others, "wrong": wrong[:6]})
            self._write()

    def _write(self) -> None:
        self.figures["minutes"] = round((time.time() - self.started) / 60, 1)
        write_json(self.path, self.figures)
