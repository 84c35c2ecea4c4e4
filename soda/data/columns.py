"""The columns of the manifest: what preparation writes, the gate checks, and everybody else reads."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

SPLITS = ("train", "val", "test")

BASE_COLUMNS: Mapping[str, pa.DataType] = {
    "id": pa.string(),
    "sha256": pa.string(),
    "split": pa.string(),
    "label": pa.string(),
    "width": pa.int32(),
    "height": pa.int32(),
    "mode": pa.string(),
    "mean": pa.float64(),
    "std": pa.float64(),
    "file": pa.string(),
    "shard": pa.int32(),
    "row": pa.int32(),
}
"""Those that every manifest has. A source may add its own; cameras have those of soda.geometry.cameras."""

FACTOR = "factor."
"""How the columns of known factors begin: `factor.hair` holds the hair of every image, "" where it is not known."""

MODEL, OBJECT = "model", "object"
"""Factors of objects. `model`: what was modelled, in one split only; `object`: what is seen, a model or a variant of it."""
