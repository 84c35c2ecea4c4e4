"""What encoder.onnx says of itself: its `metadata_props`, as the export writes them and the runtime reads them.

Each key has the prefix `soda.`. Values of TEXT_KEYS are plain text, all others JSON. Keys: format, latent_dim, image_size,
channels, resize, sections, z_mean and z_std (per component, over the train split), z_pictures (how many these were taken over),
dataset, data_version, data_licence, data_source, labels, code_version, probe (figures of the evaluation; empty without labels).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

FORMAT = 1
"""Raised whenever a reader of the earlier format would misread a newer file."""

PREFIX = "soda."
INPUT, OUTPUT = "images", "z"
TEXT_KEYS = frozenset({"resize", "dataset", "data_version", "data_licence", "data_source", "code_version"})
_COUNTS = ("latent_dim", "image_size", "channels")
_STATISTICS = ("z_mean", "z_std")


class MetadataError(ValueError):
    """Metadata that is missing or impossible; the message names the key and the value."""


def to_props(values: Mapping[str, Any]) -> dict[str, str]:
    """Metadata as the strings that an ONNX file holds."""
    return {
        PREFIX + key: str(value) if key in TEXT_KEYS else json.dumps(value, ensure_ascii=False) for key, value in values.items()
    }


def from_props(props: Mapping[str, str]) -> dict[str, Any]:
    """The inverse of `to_props`; keys without the prefix are left out.

    Raises MetadataError when the file is not one of ours, is of a newer format, or lacks what the runtime needs.
    """
    if PREFIX + "format" not in props:
        raise MetadataError(f"its metadata has no {PREFIX}format, so it is not an encoder of this project")
    values = {key.removeprefix(PREFIX): _parse(key, text) for key, text in props.items() if key.startswith(PREFIX)}
    version = values["format"]
    if not _is_count(version):
        raise MetadataError(f"{PREFIX}format is {version!r}, not a whole number from 1 up")
    if version > FORMAT:
        raise MetadataError(f"{PREFIX}format is {version}, newer than the {FORMAT} that is read here: update the package")
    for key in (*_COUNTS, "resize", *_STATISTICS):
        if key not in values:
            raise MetadataError(f"its metadata has no {PREFIX}{key}")
    for key in _COUNTS:
        if not _is_count(values[key]):
            raise MetadataError(f"{PREFIX}{key} is {values[key]!r}, not a whole number from 1 up")
    if values["resize"] not in ("crop", "stretch"):
        raise MetadataError(f"{PREFIX}resize is {values['resize']!r}, not crop or stretch")
    for key in _STATISTICS:
        _check_statistic(key, values[key], values["latent_dim"])
    return values


def _parse(key: str, text: str) -> Any:
    if key.removeprefix(PREFIX) in TEXT_KEYS:
        return text
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        raise MetadataError(f"{key} is not JSON: {text[:80]!r}") from None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check_statistic(key: str, values: object, latent_dim: int) -> None:
    least = 0.0 if key == "z_std" else -math.inf
    wanted = "numbers above 0" if key == "z_std" else "finite numbers"
    fits = isinstance(values, list) and len(values) == latent_dim
    if not fits or not all(type(v) in (int, float) and math.isfinite(v) and v > least for v in values):  # type: ignore[attr-defined]
        raise MetadataError(f"{PREFIX}{key} is not a list of {latent_dim} {wanted}")
