"""Half-written files of processes that were killed: `.NAME.new-…` beside what they were to become (soda/common/files.py)."""

from __future__ import annotations

import re
from pathlib import Path

_WRITTEN = (".code", ".dvc/tmp", "data", "models", "reports", "runs")  # besides the project's own folder
_HALF = re.compile(r"^\..+\.new-[0-9a-f]{8}$")


def sweep(root: Path) -> list[str]:
    """Take them away; the caller holds the workspace, so that nobody writes. Returns a sentence where there were any.

    Half-filled folders are put right by who fills them again.
    """
    beside = [path for path in root.iterdir() if path.is_file()]
    below = [path for part in _WRITTEN for path in (root / part).rglob(".*.new-*") if path.is_file()]
    left = [path for path in [*beside, *below] if _HALF.match(path.name) and not any(map(_HALF.match, path.parent.parts))]
    for path in left:
        path.unlink(missing_ok=True)
    names = ", ".join(str(path.relative_to(root)) for path in left[:5])
    return [f"half-written files of a process that was killed: {names}; removed"] if left else []
