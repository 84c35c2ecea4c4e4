"""What encoder.onnx and denoiser.onnx say of themselves: their `metadata_props`, as export writes and the runtime reads them.

Each key has the prefix `soda.`. Values of TEXT_KEYS are plain text, all others JSON.

Of both: format, latent_dim, image_size, channels, sections, dataset, data_version, data_licence, data_source, code_version,
sha256 (of the file's bytes with zeros in its place; `soda.runtime.session`).
Of the encoder: resize, z_mean and z_std (per component, over the train split), z_pictures (how many these were taken over),
labels, probe (figures of the evaluation; empty without labels), precision (fp32, int8 or fp16); where it has the output
`features` also features_dim, features_mean and features_std, and search_vectors (z or features: which finds what is like it).
Of the denoiser: num_timesteps T, alphas_cumprod (T + 1 numbers; entry 0 is the clean picture), schedule, prediction (what the
network puts out; the graph turns it into x_0 and eps), sampling_steps, spacing, timesteps (the table entries that sampling_steps
steps visit, from T to 0), guidance_scale, directions (those that change pictures most first: number, name, kind, section, sigma,
share, change, and vector, the unit vector times sigma: z + a * vector moves a picture by a standard deviations).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from soda.common.errors import SodaError

FORMAT = 1
"""Raised whenever a reader of the earlier format would misread a newer file."""

PREFIX = "soda."
CHECKSUM_KEY = PREFIX + "sha256"
INPUT, OUTPUT, FEATURES = "images", "z", "features"
OUTPUTS = (OUTPUT, FEATURES)
"""Of an encoder: z, and what its last layer makes z of. Files exported before there was a choice have z alone."""
DENOISER_INPUTS, DENOISER_OUTPUTS = ("x_t", "t", "z"), ("x_0", "eps")
TEXT_KEYS = frozenset(
    {
        "resize", "dataset", "data_version", "data_licence", "data_source", "code_version",
        "sha256", "precision", "schedule", "prediction", "spacing", "search_vectors",
    }
)  # fmt: skip
_COUNTS = ("latent_dim", "image_size", "channels")
_DENOISER_COUNTS = (*_COUNTS, "sections", "num_timesteps", "sampling_steps")


class MetadataError(SodaError, ValueError):
    """Metadata that is missing or impossible; the message names the key and the value."""


def to_props(values: Mapping[str, Any]) -> dict[str, str]:
    """Metadata as the strings that an ONNX file holds."""
    return {
        PREFIX + key: str(value) if key in TEXT_KEYS else json.dumps(value, ensure_ascii=False) for key, value in values.items()
    }


def from_props(props: Mapping[str, str]) -> dict[str, Any]:
    """Metadata of an encoder: the inverse of `to_props`; keys without the prefix are left out.

    Raises MetadataError when the file is not one of ours, is of a newer format, or lacks what the runtime needs.
    """
    values = _read(props, "an encoder", (*_COUNTS, "resize", "z_mean", "z_std"), _COUNTS)
    if values["resize"] not in ("crop", "stretch"):
        raise MetadataError(f"{PREFIX}resize is {values['resize']!r}, not crop or stretch")
    for key, wanted in (("z_mean", "finite numbers"), ("z_std", "numbers above 0")):
        if not are_numbers(values[key], values["latent_dim"], positive=key == "z_std"):
            raise MetadataError(f"{PREFIX}{key} is not a list of {values['latent_dim']} {wanted}")
    _check_features(values)
    return values


def _check_features(values: Mapping[str, Any]) -> None:
    count = values.get("features_dim")
    if count is not None:
        if not _is_count(count):
            raise MetadataError(f"{PREFIX}features_dim is {count!r}, not a whole number from 1 up")
        for key in ("features_mean", "features_std"):
            if not are_numbers(values.get(key), count, positive=key == "features_std"):
                raise MetadataError(f"{PREFIX}{key} is not a list of {count} numbers, those of a deviation above 0")
    chosen = values.get("search_vectors", OUTPUT)
    if chosen not in (OUTPUTS if count else (OUTPUT,)):
        raise MetadataError(f"{PREFIX}search_vectors is {chosen!r}, not an output of this file")


def from_denoiser_props(props: Mapping[str, str]) -> dict[str, Any]:
    """Metadata of a denoiser, read and checked as `from_props` does; `directions` is [] where there are none."""
    needed = (*_DENOISER_COUNTS, "alphas_cumprod", "spacing", "guidance_scale")
    values = _read(props, "a denoiser", needed, _DENOISER_COUNTS)
    table, entries = values["alphas_cumprod"], values["num_timesteps"] + 1
    if not are_numbers(table, entries) or table[0] != 1 or not all(a > b > 0 for a, b in pairwise(table)):
        raise MetadataError(f"{PREFIX}alphas_cumprod is not a list of {entries} numbers that fall from 1 and stay above 0")
    if values["sampling_steps"] > values["num_timesteps"]:
        raise MetadataError(f"{PREFIX}sampling_steps is {values['sampling_steps']}, more than the {entries - 1} of the schedule")
    if values["spacing"] not in ("logsnr", "t"):
        raise MetadataError(f"{PREFIX}spacing is {values['spacing']!r}, not logsnr or t")
    if not are_numbers([values["guidance_scale"]], 1):
        raise MetadataError(f"{PREFIX}guidance_scale is {values['guidance_scale']!r}, not a finite number")
    directions = values.setdefault("directions", [])
    if not isinstance(directions, list) or not all(isinstance(each, dict) for each in directions):
        raise MetadataError(f"{PREFIX}directions is not a list of directions")
    for number, each in enumerate(directions):
        if not are_numbers(each.get("vector"), values["latent_dim"]):
            raise MetadataError(f"{PREFIX}directions: the vector of direction {number} is not {values['latent_dim']} numbers")
    return values


def _read(props: Mapping[str, str], what: str, needed: Sequence[str], counts: Sequence[str]) -> dict[str, Any]:
    if PREFIX + "format" not in props:
        raise MetadataError(f"its metadata has no {PREFIX}format, so it is not {what} of this project")
    values = {key.removeprefix(PREFIX): _parse(key, text) for key, text in props.items() if key.startswith(PREFIX)}
    version = values["format"]
    if not _is_count(version):
        raise MetadataError(f"{PREFIX}format is {version!r}, not a whole number from 1 up")
    if version > FORMAT:
        raise MetadataError(f"{PREFIX}format is {version}, newer than the {FORMAT} that is read here: update the package")
    for key in needed:
        if key not in values:
            raise MetadataError(f"its metadata has no {PREFIX}{key}")
    for key in counts:
        if not _is_count(values[key]):
            raise MetadataError(f"{PREFIX}{key} is {values[key]!r}, not a whole number from 1 up")
    return values


def _parse(key: str, text: str) -> Any:
    if key.removeprefix(PREFIX) in TEXT_KEYS:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # ValueError also of a number with more digits than Python converts
        raise MetadataError(f"{key} is not JSON: {text[:80]!r}") from None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def are_numbers(values: object, count: int, *, positive: bool = False) -> bool:
    """A list of `count` numbers that are finite and, if so wished, above 0 in float32, in which they are used."""
    if not isinstance(values, list) or len(values) != count or not all(type(v) in (int, float) for v in values):
        return False
    try:
        with np.errstate(over="ignore"):
            numbers = np.asarray(values, np.float64).astype(np.float32)
    except OverflowError:  # a whole number beyond float64
        return False
    return bool(np.isfinite(numbers).all() and (not positive or (numbers >= np.finfo(np.float32).tiny).all()))
