"""`make bench`: what it measures can be measured, a step is no slower than it should be, and what got slower is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import deploying, training
from benchmarks.history import KEPT, History, kind_of_machine, slower
from soda.config import load


def test_search_and_duplicates_among_drawn_latents_are_measured(tmp_path: Path) -> None:
    (seconds, unit) = deploying._search(tmp_path, 3_000)["search among 3,000, all compared"]
    assert seconds > 0 and unit == "s"
    assert deploying._index((400,))["groups among 400 that cells find"] == (100.0, "%")


def test_a_step_has_its_share_of_what_its_own_convolutions_reach() -> None:
    """A ratio of two times on one machine, whatever else runs there: half to two thirds of it, as measured; a third is asked."""
    found = training.measure(load(), seconds=0.3)
    assert found["training step over its own convolutions"][0] > 33


def test_runs_are_compared_with_the_last_on_such_a_machine_alone(tmp_path: Path) -> None:
    here, other = History(tmp_path / "bench.json", "here"), History(tmp_path / "bench.json", "here")
    assert here.before() == {}
    here.add({"steps": (300.0, "images/s"), "search": (2.0, "s"), "share": (40.0, "%")})
    elsewhere = History(tmp_path / "bench.json", "elsewhere")
    assert elsewhere.before() == {}
    elsewhere.add({"steps": (900.0, "images/s")})
    again = History(tmp_path / "bench.json", "here")
    assert again.before()["steps"] == (300.0, "images/s")
    again.add({"search": (1.9, "s")})
    assert again.before() == {"steps": (300.0, "images/s"), "search": (1.9, "s"), "share": (40.0, "%")}
    for _ in range(KEPT):
        again.add({"steps": (1.0, "images/s")})
    assert len(again.runs) == KEPT
    other.file.write_text('{"steps": 3.0}')  # as it was written until 0.1.0
    assert History(other.file, "here").before() == {}
    assert "cores" in kind_of_machine()


@pytest.mark.parametrize(
    ("unit", "old", "new", "worse"),
    [("images/s", 300, 250, True), ("images/s", 300, 290, False), ("images/s", 300, 900, False), ("ms", 2, 2.5, True),
     ("ms", 2.5, 2, False), ("%", 90, 10, False), ("s", 0, 4, False)],
)  # fmt: skip
def test_what_got_slower_is_said(unit: str, old: float, new: float, worse: bool) -> None:
    assert bool(slower({"it": (old, unit)}, {"it": (new, unit)})) == worse
