"""`make bench`: that what it measures on drawn latents can be measured."""

from __future__ import annotations

from pathlib import Path

from benchmarks import deploying


def test_search_and_duplicates_among_drawn_latents_are_measured(tmp_path: Path) -> None:
    (seconds, unit) = deploying._search(tmp_path, 3_000)["search among 3,000, all compared"]
    assert seconds > 0 and unit == "s"
    assert deploying._index((400,))["groups among 400 that cells find"] == (100.0, "%")
