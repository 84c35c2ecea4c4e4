"""Pictures that came since the last accepted version, kinds of pictures, and pictures under two labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.drawn import SHAPES, drawn
from soda.data.gate.kinds import find_kinds, kind_table
from soda.data.gate.references import accept, references
from soda.data.gate.traits import PLACE, traits_of
from soda.data.near_copies import thumbnails
from tests.support.gate import judge

MANY, FEW = 400, 40


def world(seed: int, count: int) -> tuple[np.ndarray, list[str]]:
    """Images (count, 16, 16, 3) and their labels."""
    random = np.random.default_rng(seed)
    kinds = random.integers(0, len(SHAPES), count)
    return drawn(random, kinds, 16), [SHAPES[kind] for kind in kinds]


def grown(
    change: Callable[[np.ndarray], np.ndarray], labels: Callable[[list[str]], list[str]] = list
) -> tuple[np.ndarray, list[str]]:
    """The old pictures with new ones among them, which are changed."""
    (old, of_old), (new, of_new) = world(1, MANY), world(2, FEW)
    places = np.linspace(0, MANY, FEW, endpoint=False).astype(int)  # in every split
    return np.insert(old, places, change(new), axis=0), list(np.insert(np.asarray(of_old, object), places, labels(of_new)))


def labelled(names: list[str]) -> dict[str, object]:
    return {"edit": lambda manifest: manifest.assign(label=names)}


FAULTS = {
    "a dark lens": lambda images: (images * 0.35).astype(np.uint8),
    "inverted": lambda images: 255 - images,
    "red and blue swapped": lambda images: images[..., ::-1],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_batch_stops_though_it_is_a_tenth_of_all(fault: str, tmp_path: Path) -> None:
    first, labels = world(1, MANY)
    judge(tmp_path, first, "first", **labelled(labels))
    pixels, labels = grown(FAULTS[fault])
    verdict, message = judge(tmp_path, pixels, "second", **labelled(labels))
    assert "What came since the last accepted version is far from it" in message
    stopping = {check["table"] for check in verdict["checks"] if not check["success"] and check["severity"] == "stop"}
    assert "new" in stopping


def test_a_good_batch_passes_without_a_word_and_one_with_wrong_labels_does_not(tmp_path: Path) -> None:
    first, labels = world(1, MANY)
    judge(tmp_path, first, "first", **labelled(labels))
    pixels, labels = grown(lambda images: images, lambda names: [SHAPES[(SHAPES.index(name) + 2) % 5] for name in names])
    _, message = judge(tmp_path, pixels, "second", **labelled(labels))
    assert "New labels that the pictures most alike gainsay" in message
    pixels, labels = grown(lambda images: images)
    verdict, message = judge(tmp_path, pixels, "third", **labelled(labels))
    assert not message and not verdict["remarks"]


def test_a_picture_under_two_labels_is_named(tmp_path: Path) -> None:
    pixels, labels = world(3, 100)
    pixels[1], labels[:2] = pixels[0], ["disc", "ring"]
    verdict, message = judge(tmp_path, pixels, "twice", **labelled(labels))
    (check,) = [check for check in verdict["checks"] if not check["success"]]
    assert not message and check["column"] == "called_otherwise"
    assert {row["file"]: row["value"] for row in check["failing_rows"]} == {
        "raw/0000.png": "disc, but raw/0001.png is ring",
        "raw/0001.png": "ring, but raw/0000.png is disc",
    }


def test_kinds_show_what_is_missing_and_what_is_foreign_without_labels() -> None:
    random = np.random.default_rng(0)
    kinds = np.repeat(np.arange(len(SHAPES)), 120)
    files = [f"{SHAPES[kind]}-{n}" for n, kind in enumerate(kinds)]
    before = find_kinds(thumbnails(drawn(random, kinds, 16)), files, 3)
    assert before is not None and find_kinds(thumbnails(drawn(random, kinds[:100], 16)), files, 3) is None
    again = thumbnails(drawn(random, kinds, 16))
    table, apart = kind_table(again, 3, before, 10)
    assert table["factor"].max() == 1 and (apart > 1).mean() < 0.03
    table, _ = kind_table(again[kinds != 4], 3, before, 10)
    assert all("cross" in name for name in table["kind"][table["factor"] > 2.5]) and table["factor"].max() > 2.5
    foreign = thumbnails(random.integers(0, 256, (60, 16, 16, 3), dtype=np.uint8))
    assert (kind_table(foreign, 3, before, 10)[1] > 1).all()


def test_traits_say_what_they_are_called() -> None:
    images = np.zeros((2, 16, 16, 3), np.uint8)
    images[1, :8] = (200, 100, 0)
    images[1, 0:2, 14:16] = 255
    traits = {name: values[1] - values[0] for name, values in traits_of(images).items()}
    assert traits["top over bottom"] > 0.3 and traits["edges down"] > traits["edges across"] > 0
    assert (
        traits["red over blue"] > 0.3 and traits["red with green"] > 0 and traits["grey levels in use"] == pytest.approx(2 / 256)
    )
    assert traits[f"{PLACE}1,8"] == 1 and traits[f"{PLACE}8,8"] == 0


def test_few_bad_pictures_a_day_are_stopped_once_they_are_enough_together(tmp_path: Path) -> None:
    """Fifteen good ones a day pass; then fifteen inverted ones do, as too few, with a note; with the next fifteen they stop."""
    (pixels, labels), (more, of_more) = world(1, MANY), world(2, 60)
    judge(tmp_path, pixels, "first", **labelled(labels))
    said = []
    for day, come in enumerate((more[:15], more[15:30], 255 - more[30:45], 255 - more[45:])):
        pixels, labels = np.concatenate((pixels, come)), [*labels, *of_more[15 * day : 15 * day + 15]]
        said.append(judge(tmp_path, pixels, f"day-{day}", **labelled(labels)))
    assert [bool(message) for _, message in said] == [False, False, False, True]
    assert not said[1][0]["remarks"] and any("of earlier versions, then too few" in note for note in said[1][0]["notes"])
    assert any("too few to be looked at by themselves" in note for note in said[2][0]["notes"])
    assert "too few a time until now is far from it" in said[3][1]


def test_what_came_slowly_is_held_to_the_anchor(tmp_path: Path) -> None:
    """The versions that the next is held to, as they are kept: the last, the one pooled from, the anchor."""
    path = tmp_path / "kept.json"
    known = dict.fromkeys(("train", "statistics", "labels", "of_labels", "kinds", "gainsaid", "contents"))
    for version, looked_at, moved_on in (("a", False, False), ("b", False, False), ("c", True, False), ("d", False, False)):
        accept(path, {"version": version, **known}, looked_at=looked_at, moved_on=moved_on)
    held = references(path, "e")
    assert held and (held.last["version"], held.pooled["version"], held.anchor["version"]) == ("d", "c", "a")
    again = references(path, "d")  # a second look is held to what the first was
    assert again and (again.last["version"], again.pooled["version"], again.anchor["version"]) == ("c", "c", "a")
    accept(path, {"version": "e", **known}, looked_at=True, moved_on=True)
    held = references(path, "f")
    assert held and {held.last["version"], held.pooled["version"], held.anchor["version"]} == {"e"}
    path.write_text(json.dumps({"format": 2, "versions": [{"version": "z", **known}]}))  # of before there were anchors
    held = references(path, "f")
    assert held and held.anchor == held.last
