"""The figures of the release in use, to stand beside those of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.workspace import project_of
from soda.common.errors import SodaError
from soda.layout import PREPARED, RELEASES
from soda.release.store import METRICS, current_folder, facts_of, read_paper, read_pointer


@dataclass(frozen=True)
class Released:
    """version: of the release in use, "" where none is; metrics: its figures; remark: what a reader must know of them."""

    version: str = ""
    metrics: Mapping[str, Any] | None = None
    remark: str = ""


NONE = Released()


def released_beside(root: Path) -> Released:
    """The release in use in the project of the folder `root`. One that cannot be read is a remark, and no error."""
    releases = project_of(root) / RELEASES
    try:
        if read_pointer(releases).version is None:
            return NONE
        folder = current_folder(releases)
        metrics, facts = read_paper(folder / METRICS), facts_of(folder)
    except SodaError as error:
        return Released(remark=f"The release in use has no figures to compare with: {error}")
    return Released(folder.name, metrics, _remark(folder.name, facts, root / PREPARED / "summary.json"))


def _remark(version: str, facts: Mapping[str, Any], summary: Path) -> str:
    try:
        here = json.loads(summary.read_text(encoding="utf-8"))
        dataset, data_version = here["dataset"], here["manifest_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"Beside them those of {version}, of its own run and its own test split."
    if facts.get("data_version") == data_version:
        return f"Beside them those of {version}, on the same data."
    other = facts.get("dataset")
    if other != dataset:
        return f"Beside them those of {version}, which is of **another data set**, {other}: not like for like."
    return f"Beside them those of {version}, of another version of {dataset} and its own test split."
