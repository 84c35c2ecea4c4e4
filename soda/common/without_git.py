"""A project where there is no Git: DVC has to be told so, or it does nothing at all."""

from __future__ import annotations

from pathlib import Path

from soda.common.files import whole_file


def allow_without_git(root: Path) -> bool:
    """Where there is no Git folder, tell DVC so in .dvc/config.local, which is this copy's alone. Returns whether that was new.

    An archive of the project (`git archive`, GitHub's ZIP) says so by itself in .dvc/config.
    """
    local = root / ".dvc/config.local"
    said = any(path.is_file() and "no_scm = true" in path.read_text(encoding="utf-8") for path in (local, root / ".dvc/config"))
    if said or (root / ".git").exists() or local.exists() or not local.parent.is_dir():
        return False
    with whole_file(local) as temporary:
        temporary.write_text("[core]\n    no_scm = true\n", encoding="utf-8")
    return True
