"""Small images of the rows that failed, as data URIs: in the Data Docs, and beside them for who shows the verdict elsewhere."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from soda.data.columns import SPLITS
from soda.data.dataset import DatasetError, PreparedData

MOST = 20
"""Rows that get a thumbnail: the first ones of each check that did not hold, in turn."""
SIDE = 64
"""px of the longer side, at most; smaller images grow by whole factors."""
FILE = "thumbnails.json"
_NAMED = re.compile(rf"(.+) \((?:{'|'.join(SPLITS)})\)")


def thumbnails(prepared: Path, checks: Sequence[dict[str, Any]]) -> dict[str, str]:
    """JPEG data URIs: by id of the rows that failed, and by value of the files that their values name, "a/1.png (train)", as a
    copy's does its original.

    Empty where the shards cannot be read: this is about showing, and the checks have said what is wrong.
    """
    rows = [check["failing_rows"] for check in checks if not check["success"]]
    in_turn = [row for turn in zip_longest(*rows) for row in turn if row is not None and row["id"]][:MOST]
    if not in_turn:
        return {}
    others = {found[1]: found[0] for row in in_turn if (found := _NAMED.fullmatch(str(row["value"])))}  # file -> value
    try:
        data = PreparedData(prepared)
        ids, files, shards, offsets = (data.column(name) for name in ("id", "file", "shard", "row"))
        failed, named = np.isin(ids, [str(row["id"]) for row in in_turn]), np.isin(files, list(others))
        seen = {i: _data_uri(data.shard(int(shards[i]))[int(offsets[i])]) for i in np.flatnonzero(failed | named)}
    except (DatasetError, LookupError, ValueError, TypeError):
        return {}
    by_id = {str(ids[i]): uri for i, uri in seen.items() if failed[i]}
    return by_id | {others[str(files[i])]: uri for i, uri in seen.items() if named[i]}


def _data_uri(image: np.ndarray) -> str:
    """image: (S, S, C) uint8, C 1 or 3."""
    drawn = Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image))
    longest = max(drawn.size)
    factor = SIDE // longest or SIDE / longest
    size = (max(1, round(drawn.width * factor)), max(1, round(drawn.height * factor)))
    file = io.BytesIO()
    drawn.resize(size, Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS).save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
