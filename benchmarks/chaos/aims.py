"""Where a kill is to hit."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INJECT = Path(__file__).parent / "inject"
LOCK, CHECKPOINT, SWAP, COMMIT, STATE = "dvc.lock", "checkpoint", "folder swap", "DVC commit", "Prefect state"
AIMED = (LOCK, CHECKPOINT, SWAP, COMMIT, STATE)
ROLES = ("flow", "dvc", "stage", "all")
_SWAPS = r"\.(old|new)-[0-9a-f]{8}$"
_MOMENTS: dict[str, list[tuple[str, str, int]]] = {  # event, paths, the highest nth
    LOCK: [("os.rename", r"/?dvc\.lock$", 1), ("open", r"\.dvc\.lock\.new-", 1)],
    CHECKPOINT: [("os.rename", r"checkpoint(\.previous)?\.pt$", 6), ("open", r"checkpoint.*\.new-", 4)],
    SWAP: [("os.rename", _SWAPS, 2), ("shutil.rmtree", _SWAPS, 1)],
    COMMIT: [("os.rename", r"\.dvc/cache/files", 2), ("open", r"\.dvc/(cache|tmp/rwlock)", 6)],
}


@dataclass(frozen=True)
class Aim:
    """One kill: `kind` is one of AIMED or "random"; `whole` ends all processes at that moment, as a power cut does."""

    kind: str
    whole: bool
    role: str = ""
    moment: dict[str, Any] | None = None
    nth_state: tuple[str, str] | None = None
    share: float = 0.0  # of the run's usual time, for a random kill

    @property
    def name(self) -> str:
        return f"{self.kind} ({self.role})" if self.role else self.kind

    def environment(self, fired: Path, world: Path) -> dict[str, str]:
        if self.moment is None:
            return {}
        return {"SODA_CHAOS_AT": json.dumps({**self.moment, "fired": str(fired)}), "PYTHONPATH": f"{INJECT}:{world}"}


def draw(kind: str, draws: random.Random) -> Aim:
    """An aim of that kind."""
    whole = draws.random() < 0.4
    if kind == STATE:
        return Aim(kind, whole, nth_state=(str(draws.randint(1, 4)), draws.choice(["before", "after"])))
    if kind in AIMED:
        event, match, most = draws.choice(_MOMENTS[kind])
        moment = {"event": event, "match": match, "nth": draws.randint(1, most), "after": draws.random() < 0.5}
        return Aim(kind, whole, moment=moment)
    role = draws.choice(ROLES)
    return Aim(kind, role == "all", role=role, share=draws.uniform(0.05, 0.7))
