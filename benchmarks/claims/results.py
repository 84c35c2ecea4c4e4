"""What the runs gave: rows in a file that a stopped campaign goes on from, and what follows from them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.claims.arms import CLAIMS, STUDIES, Claim
from benchmarks.claims.statistics import Difference, holm, paired, verdict
from soda.common.files import write_json

UNTRAINED, PIXELS, TEST = "untrained", "pixels", "test"
"""Arms that no study lists: the encoder before training, raw pixels, and the base's last mark on the test split."""


class Results:
    """Rows {study, arm, seed, images, key, metrics}, kept in `file`. key: of settings, data and code; other keys are left out."""

    def __init__(self, file: Path, keys: dict[str, str]) -> None:
        """keys: study -> the key that its rows must have to count."""
        self.file, self.keys = file, keys
        kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        self.rows: list[dict[str, Any]] = [row for row in kept if keys.get(row["study"], row["key"]) == row["key"]]

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        self.rows += rows
        self.rows.sort(key=lambda row: (row["study"], row["arm"], row["seed"], row["images"]))
        write_json(self.file, self.rows)

    def has(self, study: str, arm: str, seed: int) -> bool:
        return any((row["study"], row["arm"], row["seed"]) == (study, arm, seed) for row in self.rows)

    def marks(self, study: str, arm: str) -> list[int]:
        return sorted({row["images"] for row in self.rows if (row["study"], row["arm"]) == (study, arm)})

    def values(self, study: str, arm: str, metric: str, images: int) -> dict[int, float]:
        """seed -> value."""
        wanted = (study, arm, images)
        rows = [row for row in self.rows if (row["study"], row["arm"], row["images"]) == wanted]
        return {row["seed"]: row["metrics"][metric] for row in rows if metric in row["metrics"]}


@dataclass(frozen=True)
class Decision:
    """A claim with what the runs say of it at the last mark of both arms."""

    claim: Claim
    difference: Difference
    adjusted_p: float
    images: int

    @property
    def verdict(self) -> str:
        return verdict(self.difference, self.adjusted_p)


def difference_of(claim: Claim, results: Results, images: int | None = None) -> Difference | None:
    """The claim's paired difference after so many images of the base, or at the end of both arms."""
    sides = []
    for arm in (claim.better, claim.worse):
        marks = results.marks(claim.study, arm)
        if not marks or (images is not None and images not in marks):
            return None
        sides.append(results.values(claim.study, arm, claim.metric, images if images is not None else marks[-1]))
    return paired(*sides)


def decide(results: Results) -> list[Decision]:
    """All claims that were measured with two seeds or more on both sides, corrected together."""
    found = {claim.name: (claim, difference_of(claim, results)) for claim in CLAIMS}
    measured = {name: (claim, difference) for name, (claim, difference) in found.items() if difference}
    adjusted = holm({name: difference.p for name, (_, difference) in measured.items()})
    return [
        Decision(claim, difference, adjusted[name], results.marks(claim.study, claim.worse)[-1])
        for name, (claim, difference) in measured.items()
    ]


def claims_json(decisions: list[Decision], results: Results) -> dict[str, Any]:
    """What docs/results/claims.json holds."""
    base = results.marks("main", "base") or [0]
    return {
        "images": base[-1],
        "seeds": len(results.values("main", "base", "probe", base[-1])),
        "split": "validation",
        "correction": "Holm",
        "claims": [
            {
                "name": each.claim.name,
                "claim": each.claim.text,
                "data": STUDIES[each.claim.study].title,
                "metric": each.claim.metric,
                "images": each.images,
                "seeds": each.difference.pairs,
                "effect": round(each.difference.effect, 5),
                "interval": [round(each.difference.low, 5), round(each.difference.high, 5)],
                "p": round(each.difference.p, 6),
                "p_holm": round(each.adjusted_p, 6),
                "verdict": each.verdict,
            }
            for each in decisions
        ],
    }
