"""What an encoder sees: vectors of the pictures, where there is an encoder. Labels against neighbours, kinds, and the mean by z.

Pixels sort by what is bright where; an encoder that learned from pictures like these sorts by what they show. Its time is
bounded: at most MOST pictures of train, evenly spread, are encoded. What the encoder says stands beside what pixels say, and does
not replace it: pixels are compared whatever encoder is in use, and vectors only with vectors of the same encoder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from soda.common.files import file_sha256
from soda.data.gate import comparisons as expect
from soda.data.gate.accepted import COLUMNS, RARE, SAID_OF_LABEL, changes, described
from soda.data.gate.expectations import Expectation
from soda.data.gate.gate_table import GateTable
from soda.data.gate.kinds import find_kinds_of, kind_table_of
from soda.data.gate.likeness import gainsaid_by
from soda.data.gate.verdict import GateError
from soda.layout import ENCODER
from soda.runtime.onnx_encoder import SEARCH, Encoder, EncoderError

RELEASED = "released"
MOST = 4_000
MOST_GAINSAID = 0.1
"""Share of the judged labels that neighbours by z may gainsay where no accepted version says a smaller one."""
_AT_ONCE = 1_000
_WORKSPACE = "/.prefect/workspace"  # a checkout within a project, as flows/workspace.py makes it
ImagesOf = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Vectors:
    """rows: of the table of pictures, of train; z: (n, D) float32, of unit variance over what the encoder learned from."""

    encoder: str  # the SHA-256 of its file
    rows: np.ndarray
    z: np.ndarray


def encoder_of(setting: str | None, releases: Path | None) -> tuple[Path | None, str]:
    """The encoder.onnx that gate.encoder means, None where there is none; and in words which it is, or why there is none.

    Raises GateError for a file that is named and is not there.
    """
    if setting is None:
        return None, "gate.encoder is null, so pictures were compared by pixels alone."
    if setting != RELEASED:
        if not Path(setting).is_file():
            raise GateError(f"gate.encoder: {setting}: there is no such file; it must be an encoder.onnx, {RELEASED} or null")
        return Path(setting), setting
    try:
        folder = _of_project(releases) if releases is not None else None
        version = str(json.loads((folder / "current.json").read_text(encoding="utf-8"))["version"]) if folder else ""
        if folder and (path := folder / version / ENCODER.name).is_file():
            return path, f"release {version}"
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None, "No encoder is released here, so pictures were compared by pixels alone."


def _of_project(releases: Path) -> Path:
    """The folder of releases; where a deployment works, the project's own."""
    folder = releases.resolve()
    return Path(str(folder.parent).removesuffix(_WORKSPACE)) / folder.name


def encode(path: Path, pictures: pd.DataFrame, images_of: ImagesOf) -> Vectors:
    """Vectors of train. Raises GateError for a file that is no encoder.

    images_of: images (n, S, S, C) uint8 of given rows.
    """
    train = np.flatnonzero((pictures["split"] == "train").to_numpy())
    rows = train[np.unique(np.linspace(0, len(train) - 1, min(len(train), MOST)).astype(np.int64))] if len(train) else train
    try:
        encoder = Encoder(path, output=SEARCH)
    except EncoderError as error:
        raise GateError(f"gate.encoder: {error}") from None
    blocks = [np.empty((0, encoder.width), np.float32)]
    for start in range(0, len(rows), _AT_ONCE):
        images = images_of(rows[start : start + _AT_ONCE])
        if images.shape[3] == 1:
            images = np.repeat(images, 3, axis=3)
        blocks.append(encoder.embed(images, normalize="stats"))
    return Vectors(file_sha256(path), rows, np.concatenate(blocks))


def describe_vectors(pictures: pd.DataFrame, found: Vectors, gainsaid: list[int]) -> dict[str, Any]:
    """What is kept of an accepted version: mean and spread of each component, kinds by z, how many labels were gainsaid."""
    files = pictures["file"].to_numpy(dtype=object)[found.rows].tolist()
    components = {f"z {number}": found.z[:, number] for number in range(found.z.shape[1])} if len(found.rows) else {}
    return {
        "encoder": found.encoder,
        "statistics": described(components),
        "kinds": find_kinds_of(_unit(found.z), files),
        "gainsaid": gainsaid,
    }


def judge_labels(pictures: pd.DataFrame, found: Vectors) -> tuple[np.ndarray, list[int]]:
    """For each picture whose label its neighbours by z gainsay: what they are called; else None: (N,). And how many are gainsaid,
    and how many were judged."""
    labels = pictures["label"].fillna("").to_numpy(dtype=object)
    here = labels[found.rows] != ""
    result = np.full(len(pictures), None, dtype=object)
    told, judged = gainsaid_by(labels, found.rows[here], _nearest(_unit(found.z[here])))
    result[found.rows[here]] = told
    return result, [sum(each is not None for each in told), int(judged.sum())]


def label_checks(gainsaid: list[int], before: dict[str, Any] | None) -> list[Expectation]:
    """Of labels by z, where more are gainsaid than may be. before: what was kept of the accepted version, of the same encoder."""
    count, judged = gainsaid
    then, judged_then = before["gainsaid"] if before else (0, 0)
    most = MOST_GAINSAID
    if judged_then >= expect.ENOUGH_JUDGED and judged:
        share = (then + 1) / (judged_then + 1)
        chance = 5 * math.sqrt(share * (1 - share) * (1 / judged + 1 / judged_then))
        most = min(most, max(1.5 * share, share + chance, 0.02))
    if judged < expect.ENOUGH_JUDGED or count <= most * judged:
        return []
    return [expect.gainsaid_check(count, judged, most, "label_gainsaid_z", "alike by the encoder")]


def compare_vectors(now: dict[str, Any], found: Vectors, before: dict[str, Any]) -> list[GateTable]:
    """Components and kinds beside those of the accepted version, of the same encoder."""
    rows = pd.DataFrame(changes(now["statistics"], before["statistics"], SAID_OF_LABEL, math.inf), columns=COLUMNS)
    about = "Components of z, of train, beside those of the last accepted version."
    tables = [GateTable("z", about, rows, [expect.vector_check()], "statistic", "")]
    if before["kinds"] is not None and len(found.rows):
        kinds, _ = kind_table_of(_unit(found.z), before["kinds"], RARE)
        about = "Kinds of pictures in train by z, beside those of the last accepted version."
        tables.append(GateTable("z_kinds", about, kinds, list(expect.kind_checks(" (by the encoder)")), "kind", ""))
    return tables


def _unit(z: np.ndarray) -> np.ndarray:
    """(n, D) of unit length."""
    return np.asarray(z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12), np.float32)


def _nearest(unit: np.ndarray, count: int = 10) -> np.ndarray:
    """The `count` others nearest by cosine: (n, count) places; (n, fewer) of fewer."""
    found = [np.empty((0, min(count, max(0, len(unit) - 1))), np.int64)]
    for start in range(0, len(unit), _AT_ONCE):
        alike = unit[start : start + _AT_ONCE] @ unit.T
        alike[np.arange(len(alike)), np.arange(start, start + len(alike))] = -np.inf
        found.append(np.argsort(-alike, axis=1)[:, : found[0].shape[1]])
    return np.concatenate(found)
