"""The figures of a campaign, written after every kill, so that one that was stopped has some."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from soda.common.files import write_json


class Tally:
    """Kills and other misfortunes, by kind and by stage, and what became of them."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.started, self._guard = path, time.time(), threading.Lock()
        self.figures: dict[str, Any] = {
            "kills": 0, "aimed": 0, "recovered": 0, "stuck": 0, "seed": seed, "minutes": 0.0,
            "misfortunes": 0, "misfortunes_recovered": 0, "rounds": 0, "by_kind": {}, "by_stage": {}, "failures": [],
        }  # fmt: skip

    def note(self, **facts: Any) -> None:
        """Further figures."""
        with self._guard:
            self.figures |= facts
            self._write()

    def add(self, kills: list[tuple[str, str, bool]], others: list[str], wrong: list[str]) -> None:
        """A round: its kills (kind, stage, aimed), its other misfortunes, and what was wrong at its end."""
        with self._guard:
            figures, good = self.figures, not wrong
            figures["rounds"] += 1
            figures["kills"] += len(kills)
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
