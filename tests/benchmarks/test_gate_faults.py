"""The benchmark that plants faults: its worlds, its faults, and that it counts as seen only what is said with rows."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.days.calendar import BAD, DAYS, GOOD, ROLLBACKS, SERVER_LOSS, again, calendar
from benchmarks.gate_faults.faults import Fault, faults
from benchmarks.gate_faults.judging import Place, Said
from benchmarks.gate_faults.worlds import Picture, shapes

SOME = {fault.name: fault for fault in faults()}


def test_seventeen_faults_but_one_and_ten_of_our_own() -> None:
    own = [fault for fault in SOME.values() if fault.own]
    assert (len(SOME), len(own)) == (26, 10)


@pytest.mark.parametrize("fault", SOME.values(), ids=SOME)
def test_a_fault_changes_what_it_says_and_names_what_is_there(fault: Fault) -> None:
    world = shapes(True)
    good = world.draw(1, 0.3)
    bad, planted = fault.plant(good, world, np.random.default_rng(0))
    places = {picture.place for picture in bad}
    assert planted <= places and len(places) == len(bad)
    if fault.alter is None:
        assert _files(good) != _files(bad)


def _files(pictures: list[Picture]) -> dict[str, bytes]:
    return {each.place: each.data or each.pixels.tobytes() for each in pictures}


def test_what_is_said_of_other_rows_is_not_seen() -> None:
    assert Said("remark", ("…",), frozenset({"a", "b"})).about({"a"})["seen"]
    assert not Said("remark", ("…",), frozenset({"a", "b", "c"})).about({"a"})["seen"]
    assert not Said("remark", ("…",), frozenset()).about(set())["seen"]
    assert not Said("", (), frozenset()).about({"a"})["seen"]


def test_a_good_folder_passes_and_a_fault_is_stopped(tmp_path: Path) -> None:
    world, place = shapes(True), Place(tmp_path)
    assert place.judge(world, world.draw(0, 0.3)).how == ""
    place.keep()
    fault = SOME["inverted"]
    bad, planted = fault.plant(world.draw(1, 0.3), world, np.random.default_rng(0))
    assert place.judge(world, bad).about(planted)["how"] == "stop"
    place.forget()
    assert [*place.accepted.iterdir()]


def test_the_calendar_has_what_it_promises() -> None:
    days = calendar()
    assert len(days) == DAYS and [day.number for day in days] == list(range(1, DAYS + 1))
    assert {day.what for day in days if not day.wanted} == set(BAD)
    assert SERVER_LOSS in GOOD and len(ROLLBACKS) == 2
    for day in days:
        made = day.make(np.random.default_rng(0)) if day.make else []
        assert day.make is None or len({picture.place for picture in made}) == len(made) > 50
    broken = BAD["files cut short"](20)(np.random.default_rng(0))
    with pytest.raises(OSError):
        Image.open(io.BytesIO(broken[0].data or b"")).load()
    assert np.array_equal(again(np.random.default_rng(0))[0].pixels, days[0].make(np.random.default_rng((6, 1)))[0].pixels)  # type: ignore[misc]
