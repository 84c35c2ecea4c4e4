"""What came since the last accepted version, held to that version by itself: a bad batch in a large folder moves no mean.

Only pictures whose pixels the accepted version had not count, and only where they are a part: of another draw all are new, and
that is compared as a whole.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pandas as pd

from soda.data.gate.accepted import COLUMNS, changes, described
from soda.data.gate.traits import traits_of

FEWEST, MOST_OF_ALL = 16, 0.8
"""New pictures from which on they are looked at by themselves; the share of all from which on the whole comparison does it."""
SAID, STOPPED = 1.0, 2.0
"""As `accepted.SAID` and `STOPPED`. Wider: what comes on one day may be of one subject."""
ENOUGH_JUDGED, GAINSAID = 12, 0.5
"""New labels that neighbours must have judged; the share of them that may be gainsaid."""
_HEX = 8  # digits of a hash that are kept


def contents_of(pictures: pd.DataFrame) -> str:
    """The contents of a version, to tell what is new in the next: the first four bytes of each hash, sorted, as base64."""
    return base64.b64encode(np.sort(_numbers(pictures)).astype(">u4").tobytes()).decode()


def newcomers(pictures: pd.DataFrame, before: dict[str, Any]) -> np.ndarray:
    """Rows whose pixels the accepted version had not, in any split; none where they are too few, or nearly all: (n,) int64."""
    known = np.frombuffer(base64.b64decode(before["contents"]), ">u4").astype(np.uint32)
    rows = np.flatnonzero(~np.isin(_numbers(pictures), known))
    return rows if FEWEST <= len(rows) <= MOST_OF_ALL * len(pictures) else rows[:0]


def _numbers(pictures: pd.DataFrame) -> np.ndarray:
    return np.asarray([int(digest[:_HEX], 16) for digest in pictures["pixels_sha256"]], dtype=np.uint32)


def trait_table(images: np.ndarray, before: dict[str, Any]) -> pd.DataFrame:
    """One row a trait: of the new pictures (n, S, S, C) uint8 and of the accepted version."""
    return pd.DataFrame(changes(described(traits_of(images)), before["statistics"], SAID, STOPPED), columns=COLUMNS)


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
