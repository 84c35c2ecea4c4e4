"""What came since an accepted version, held to that version by itself: a bad batch in a large folder moves no mean.

It is looked at three times: since the last version; since the version from which on too few came to be looked at, so that fifteen
bad pictures a day are seen once they are enough together; since the anchor, so that what changes slowly is seen, too. Only
pictures whose pixels the version had not count, and only where they are a part: of another draw all are new, and that is compared
as a whole.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from soda.data.gate import comparisons as expect
from soda.data.gate.accepted import COLUMNS, changes, described
from soda.data.gate.expectations import Expectation
from soda.data.gate.gate_table import GateTable
from soda.data.gate.kinds import apart_from_kinds
from soda.data.gate.references import ENOUGH, References
from soda.data.gate.traits import traits_of

FEWEST, MOST_OF_ALL = 16, 0.8
"""New pictures from which on they are looked at by themselves; the share of all from which on the whole comparison does it."""
SAID, STOPPED = 1.0, 2.0
"""As `accepted.SAID` and `STOPPED`. Wider: what comes on one day may be of one subject."""
ENOUGH_JUDGED, GAINSAID = 12, 0.5
"""New labels that neighbours must have judged; the share of them that may be gainsaid."""
UNLIKE, USUAL, CHANCE = 0.06, 0.01, 5.0
"""Share of new pictures that are far from every kind of the anchor, above which it is a remark; as many standard errors of the
usual share are added to it."""
_HEX = 8  # digits of a hash that are kept
_MOST_NEW = 1_000  # new pictures that traits are taken of
ImagesOf = Callable[[np.ndarray], np.ndarray]


def contents_of(pictures: pd.DataFrame) -> str:
    """The contents of a version, to tell what is new in the next: the first four bytes of each hash, sorted, as base64."""
    return base64.b64encode(np.sort(_numbers(pictures)).astype(">u4").tobytes()).decode()


def newcomers(pictures: pd.DataFrame, before: dict[str, Any]) -> np.ndarray:
    """Rows whose pixels the accepted version had not, in any split: (n,) int64."""
    known = np.frombuffer(base64.b64decode(before["contents"]), ">u4").astype(np.uint32)
    return np.flatnonzero(~np.isin(_numbers(pictures), known))


def _numbers(pictures: pd.DataFrame) -> np.ndarray:
    return np.asarray([int(digest[:_HEX], 16) for digest in pictures["pixels_sha256"]], dtype=np.uint32)


def progress(pictures: pd.DataFrame, held: References) -> tuple[bool, bool]:
    """Whether what was pooled is looked at now, or all is new; whether so much came that this version can be the next anchor."""
    pooled, since = (len(newcomers(pictures, each)) for each in (held.pooled, held.anchor))
    return pooled >= FEWEST, since > ENOUGH * len(pictures)


def newcomer_tables(pictures: pd.DataFrame, judged: np.ndarray, images_of: ImagesOf, held: References) -> list[GateTable]:
    """Of each set of newcomers that is large enough: its traits, and its labels.

    Args:
        pictures: one row a picture, with label_gainsaid.
        judged: (N,) bool, a row a picture: whose labels neighbours judged.
        images_of: images (n, S, S, C) uint8 of given rows.
    """
    found = []
    for name, words, before, rows in _sets(pictures, held):
        some = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST_NEW)).astype(np.int64))]
        files = pictures["file"].to_numpy(dtype=object)[some]
        about = f"Traits of the {len(rows):,} pictures that came since {words} beside those of that version."
        table = trait_table(images_of(some), files, before)
        found.append(GateTable(name, about, table, list(expect.newcomer_checks(words)), "statistic", "file"))
        labels = gainsaid_table(rows, judged, pictures["label_gainsaid"].notna().to_numpy())
        if labels is not None:
            about = f"Labels of what came since {words}."
            found.append(GateTable(f"{name}_labels", about, labels, [expect.new_labels_check(GAINSAID)], "what", ""))
    return found


def _sets(pictures: pd.DataFrame, held: References) -> Iterator[tuple[str, str, dict[str, Any], np.ndarray]]:
    """(name of the table, in words since when, that version, rows) of each set of newcomers that is looked at, none twice."""
    seen: list[np.ndarray] = []
    for name, words, before in (
        ("new", "the last accepted version", held.last),
        ("pooled", f"version {held.pooled['version'][:12]}…, too few a time until now", held.pooled),
        ("since_anchor", f"version {held.anchor['version'][:12]}…, the anchor", held.anchor),
    ):
        rows = newcomers(pictures, before)
        if FEWEST <= len(rows) <= MOST_OF_ALL * len(pictures) and not any(np.array_equal(rows, each) for each in seen):
            seen.append(rows)
            yield name, words, before, rows


def trait_table(images: np.ndarray, files: np.ndarray, before: dict[str, Any]) -> pd.DataFrame:
    """One row a trait: of the new pictures and of the accepted version, and the new picture that is farthest by it.

    Args:
        images: (n, S, S, C) uint8.
        files: (n,) what each is called.
    """
    traits = traits_of(images)
    rows = changes(described(traits), before["statistics"], SAID, STOPPED)
    for row in rows:
        apart = np.abs(traits[row["statistic"]] - row["accepted"])
        row["file"] = f"{len(images)} pictures, farthest {files[int(np.argmax(apart))]}"
    return pd.DataFrame(rows, columns=[*COLUMNS, "file"])


def gainsaid_table(rows: np.ndarray, judged: np.ndarray, gainsaid: np.ndarray) -> pd.DataFrame | None:
    """How many of the new labels that neighbours judged are gainsaid; None where too few were.

    Args:
        rows: of the new pictures.
        judged, gainsaid: (N,) bool, a row a picture.
    """
    count, wrong = int(judged[rows].sum()), int((judged & gainsaid)[rows].sum())
    if count < ENOUGH_JUDGED:
        return None
    return pd.DataFrame({"what": ["new labels"], "judged": [count], "gainsaid": [wrong], "share": [wrong / count]})


def unlike_newcomers(
    pictures: pd.DataFrame, thumbs: np.ndarray, channels: int, held: References
) -> tuple[np.ndarray, list[Expectation]]:
    """For each picture that came since the anchor and is far from every kind of it: how far; else None: (N,). And what is
    expected of them, where they are too many: of all that came since the anchor, or of what is pooled."""
    found = np.full(len(pictures), None, dtype=object)
    checks: list[Expectation] = []
    if held.anchor["kinds"] is None:
        return found, checks
    for rows in {len(rows): rows for *_, rows in _sets(pictures, held)}.values():
        apart = apart_from_kinds(thumbs[rows], channels, held.anchor["kinds"])
        share, most = float((apart > 1).mean()), UNLIKE + CHANCE * math.sqrt(USUAL * (1 - USUAL) / len(rows))
        if share <= most:
            continue
        for row, distance in zip(rows[apart > 1].tolist(), apart[apart > 1].tolist(), strict=True):
            found[row] = f"{distance:.2f} times as far from every kind as hardly any picture of the anchor was"
        checks = [expect.new_unlike_check(share, most)]
    return found, checks
