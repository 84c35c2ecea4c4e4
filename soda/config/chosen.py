"""Which overrides a project's params.yaml was composed with, so that a run without any stays with its experiment."""

from __future__ import annotations

import json
import os
from pathlib import Path

from soda.common.files import file_sha256, write_json
from soda.config.params_file import PARAMS_FILE

_CHOSEN = Path(".dvc/tmp/chosen.json")


def remember_overrides(overrides: list[str], root: str | os.PathLike[str] = ".") -> None:
    """Note what `root`/params.yaml, as it is now, was composed with. Does nothing outside a DVC project."""
    root = Path(root)
    if (root / ".dvc").is_dir():
        write_json(root / _CHOSEN, {"overrides": overrides, "params_sha256": file_sha256(root / PARAMS_FILE)})


def chosen_overrides(root: str | os.PathLike[str] = ".") -> list[str] | None:
    """What `root`/params.yaml was composed with; None when nobody knows, or it was changed in another way since."""
    root = Path(root)
    try:
        noted = json.loads((root / _CHOSEN).read_text(encoding="utf-8"))
        known = noted["params_sha256"] == file_sha256(root / PARAMS_FILE)
        return [str(each) for each in noted["overrides"]] if known else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
