"""When the checkpoint of a finished training may go: once DVC has recorded the result, and not before.

A kill between the end of training and DVC's commit would lose the training otherwise: DVC runs the stage again, and that has
nothing to go on from. Loads no torch.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from soda.common.files import write_json

MARK = "finished.json"


def mark_finished(run: Path, figures: Path) -> None:
    """Note in the run's folder that it is at its end, and which file of figures it wrote last."""
    write_json(run / MARK, {"figures": figures.as_posix(), "md5": _md5(figures)})


def drop_recorded(runs: Path, lock: Path) -> list[Path]:
    """Remove the folders of finished runs whose figures dvc.lock has. Returns them.

    runs: the folder of runs. lock: the project's dvc.lock; without one nothing is removed.
    """
    marks = sorted(runs.glob(f"*/{MARK}"))
    recorded = _recorded(lock) if marks else set()
    gone = []
    for mark in marks:
        try:
            noted = json.loads(mark.read_text(encoding="utf-8"))
            known = (noted["figures"], noted["md5"]) in recorded
        except (OSError, ValueError, KeyError, TypeError):
            continue  # of a run that is kept too long nobody takes harm
        if known:
            shutil.rmtree(mark.parent)
            gone.append(mark.parent)
    return gone


def _recorded(lock: Path) -> set[tuple[str, str]]:
    import yaml

    try:
        stages: dict[str, Any] = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
        return {(out["path"], out["md5"]) for stage in stages.values() for out in stage.get("outs", [])}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return set()  # none, or cut off: then nothing is known to be recorded


def _md5(path: Path) -> str:
    """As DVC names a file's content."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
