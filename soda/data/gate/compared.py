"""Pictures compared with each other, and a version with the last accepted one: what is found, and what is expected of it."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from soda.data.gate import by_encoder as z
from soda.data.gate import comparisons as expect
from soda.data.gate import newcomers as new
from soda.data.gate.accepted import (
    RARE,
    change_table,
    describe_version,
    label_change_table,
    trait_change_table,
)
from soda.data.gate.expectations import Expectation
from soda.data.gate.gate_table import GateTable
from soda.data.gate.gather import gather
from soda.data.gate.kinds import UNLIKE, kind_table
from soda.data.gate.likeness import called_otherwise, gainsaid_labels, near_copies
from soda.data.gate.reading import PreparedReading
from soda.data.gate.references import References, place_of, references
from soda.data.near_copies import Neighbourhood

_CHANCE = 5.0  # standard errors of a share
ImagesOf = z.ImagesOf
Compared = tuple[pd.DataFrame, list[Expectation], list[GateTable]]


def compared(
    reading: PreparedReading, pictures: pd.DataFrame, accepted: Path | None, encoder: tuple[Path | None, str] = (None, "")
) -> Compared:
    """The pictures with what comparing them shows, what is expected of them, and the tables of what changed.

    Changed since the last accepted version of the same data set, where the folder `accepted` has one. encoder: as
    `by_encoder.encoder_of` gives it. Adds to `reading.notes` what was compared with what.
    """
    if reading.thumbs is None or reading.summary is None:
        reading.notes.append("The pictures were not compared with each other: some cannot be read, or there are too many.")
        return pictures, [], []
    near, shards = Neighbourhood(reading.thumbs), [reading.folder / shard["file"] for shard in reading.summary["shards"]]
    gainsaid, was_judged, asked = gainsaid_labels(pictures, near)
    judged = int(was_judged.sum())
    otherwise, nearly = called_otherwise(pictures, near, shards)
    copies = near_copies(pictures, reading.thumbs, near, shards)
    pictures = pictures.assign(near_copy_elsewhere=copies, label_gainsaid=gainsaid, called_otherwise=otherwise)
    count = int(pictures["label_gainsaid"].notna().sum())
    checks = list(expect.likeness_checks())
    if judged:
        reading.notes.append(
            f"{judged:,} labels could be held against those of the pictures most alike; {count:,} ({count / judged:.1%}) are "
            "gainsaid by them."
        )
    if asked and int(pictures["called_otherwise"].notna().sum()) - nearly + nearly * (nearly >= expect.ENOUGH_OTHERWISE * asked):
        checks.append(expect.called_otherwise_check())
    held = None
    images_of = partial(gather, pictures, shards=shards)
    pictures, vectors, by_z = _encoded(reading, pictures, images_of, encoder)
    if accepted is not None:
        path = place_of(accepted, reading.summary)
        described = describe_version(pictures, reading.thumbs, reading.summary, reading.manifest_sha256, images_of)
        described |= {"gainsaid": [count, judged, asked], "contents": new.contents_of(pictures)}
        reading.description = {**described, "z": by_z}
        held = references(path, reading.manifest_sha256)
    most = _most_gainsaid(held.last if held else None, judged)
    if judged >= expect.ENOUGH_JUDGED and count > most * judged:
        checks.append(expect.gainsaid_check(count, judged, most))
    z_then = _same_encoder(held.last if held else None, by_z)
    if by_z is not None:
        checks += z.label_checks(by_z["gainsaid"], z_then)
    if accepted is None:
        return pictures, checks, []
    if held is None:
        reading.notes.append("No other version of this data set was accepted here, so this one was compared with none.")
        return pictures, checks, []
    before = held.last
    reading.notes.append(f"Compared with the last accepted version, {before['version'][:12]}…, of which {path} says how it was.")
    _note_newcomers(reading, pictures, held)
    pictures, unlike, tables = _by_kinds(reading, pictures, before)
    apart, new_unlike = new.unlike_newcomers(pictures, reading.thumbs, reading.summary["channels"], held)
    pictures = pictures.assign(new_unlike=apart)
    tables += new.newcomer_tables(pictures, was_judged, images_of, held)
    if vectors is not None and by_z is not None and z_then is not None:
        tables += z.compare_vectors(by_z, vectors, z_then)
    tables = [*_changes(reading, before, path), *tables, *_fewer_judged(before, judged, asked, path)]
    return pictures, [*checks, *unlike, *new_unlike], tables


def _encoded(
    reading: PreparedReading, pictures: pd.DataFrame, images_of: ImagesOf, encoder: tuple[Path | None, str]
) -> tuple[pd.DataFrame, z.Vectors | None, dict[str, Any] | None]:
    """The pictures with what the encoder says of their labels, their vectors, and what is kept of them."""
    path, words = encoder
    if path is None:
        reading.notes += [words] if words else []
        return pictures, None, None
    vectors = z.encode(path, pictures, images_of)
    told, gainsaid = z.judge_labels(pictures, vectors)
    reading.notes.append(
        f"By the encoder of {words} ({vectors.encoder[:12]}…) {len(vectors.rows):,} pictures of train were compared, too: "
        f"{gainsaid[1]:,} of their labels could be judged, {gainsaid[0]:,} are gainsaid."
    )
    return pictures.assign(label_gainsaid_z=told), vectors, z.describe_vectors(pictures, vectors, gainsaid)


def _same_encoder(before: dict[str, Any] | None, now: dict[str, Any] | None) -> dict[str, Any] | None:
    then: dict[str, Any] | None = before.get("z") if before else None
    return then if then and now and then["encoder"] == now["encoder"] else None


def _note_newcomers(reading: PreparedReading, pictures: pd.DataFrame, held: References) -> None:
    reading.looked_at, reading.moved_on = new.progress(pictures, held)
    count, earlier = (len(new.newcomers(pictures, each)) for each in (held.pooled, held.last))
    if 0 < count < new.FEWEST:
        reading.notes.append(
            f"{count} pictures that are new were too few to be looked at by themselves; they will be, with what comes next."
        )
    elif count > earlier:
        reading.notes.append(
            f"{count - earlier} pictures of earlier versions, then too few, were looked at with the {earlier} that are new."
        )


def _most_gainsaid(before: dict[str, Any] | None, judged: int) -> float:
    """The share of gainsaid labels that is no remark: twice that of the accepted version, and more than chance, where it says."""
    then, judged_then, _ = before["gainsaid"] if before else (0, 0, 0)
    if min(judged, judged_then) < expect.ENOUGH_JUDGED:
        return expect.MOST_GAINSAID
    share = (then + 1) / (judged_then + 1)
    chance = _CHANCE * math.sqrt(share * (1 - share) * (1 / judged + 1 / judged_then))
    return min(expect.MOST_GAINSAID, max(2 * share, share + chance, 0.03))


def _fewer_judged(before: dict[str, Any], judged: int, asked: int, path: Path) -> list[GateTable]:
    _, judged_then, asked_then = before["gainsaid"]
    if judged_then < expect.ENOUGH_JUDGED or not asked:
        return []
    share, then = (judged + RARE) / (asked + RARE), (judged_then + RARE) / (asked_then + RARE)
    frame = pd.DataFrame({"what": ["labels that the most alike share"], "now": [share], "accepted": [then]})
    frame = frame.assign(times_fewer=then / share)
    about = "How often the most alike pictures have one label, beside the last accepted version."
    return [GateTable("neighbours", about, frame, [expect.fewer_judged_check(path)], "what", "")]


def _changes(reading: PreparedReading, before: dict[str, Any], path: Path) -> list[GateTable]:
    now = reading.description
    assert now is not None
    about = "Traits of train beside those of the last accepted version of this data set."
    found = [GateTable("changes", about, change_table(now, before), list(expect.change_checks(path)), "statistic", "")]
    labels, traits = label_change_table(now, before), trait_change_table(now, before)
    if len(labels):
        about = "Labels in train beside those of the last accepted version."
        found.append(GateTable("label_changes", about, labels, list(expect.label_change_checks(path)), "label", ""))
    if len(traits):
        about = "Of each label the trait that is farthest from that of the last accepted version."
        found.append(GateTable("labels_traits", about, traits, list(expect.trait_change_checks()), "label", ""))
    return found


def _by_kinds(reading: PreparedReading, pictures: pd.DataFrame, before: dict[str, Any]) -> Compared:
    """The same by kinds of pictures, which need no labels."""
    train = np.flatnonzero((pictures["split"] == "train").to_numpy())
    if before["kinds"] is None or not len(train) or reading.summary is None or reading.thumbs is None:
        reading.notes.append("The accepted version was too small to be sorted into kinds of pictures, so none were compared.")
        return pictures, [], []
    table, apart = kind_table(reading.thumbs[train], reading.summary["channels"], before["kinds"], RARE)
    unlike = np.full(len(pictures), None, dtype=object)
    for row, distance in zip(train[apart > 1].tolist(), apart[apart > 1].tolist(), strict=True):
        unlike[row] = f"{distance:.2f} times as far from every kind as hardly any picture was"
    share, usual = float((apart > 1).mean()), 0.01
    most = UNLIKE + _CHANCE * math.sqrt(usual * (1 - usual) / len(train))
    checks = [expect.unlike_check(share, most)] if share > most else []
    about = "Kinds of pictures in train, found without labels, beside those of the last accepted version."
    tables = [GateTable("kinds", about, table, list(expect.kind_checks()), "kind", "")]
    return pictures.assign(unlike_all=unlike), checks, tables
