"""A scratch project: this project's dvc.yaml, DVC settings, conf/ and launcher, with stages that take milliseconds."""

from __future__ import annotations

import shutil
from contextlib import chdir
from pathlib import Path

from dvc.repo import Repo

from flows.dvc_client import Dvc
from soda.config import compose, write_params

PROJECT = Path(__file__).parents[2]
ORDER = ["fetch", "prepare", "validate", "train", "evaluate", "export", "report"]


def repro(root: Path, *targets: str) -> None:
    """What `dvc repro [--single-item targets]` does, without the second that the command line takes to start."""
    with chdir(root), Repo() as repo:
        repo.reproduce(targets=list(targets) or None, single_item=bool(targets))


def changed_stages(root: Path) -> set[str]:
    with Dvc(root) as dvc:
        return dvc.changed_stages()


def lay_out(root: Path) -> None:
    for name in ("dvc.yaml", "stage", ".dvcignore"):
        shutil.copy(PROJECT / name, root / name)
    write_params(compose([], PROJECT / "conf"), root / "params.yaml")
    (root / ".dvc").mkdir()
    shutil.copy(PROJECT / ".dvc/config", root / ".dvc/config")
    (root / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    shutil.copytree(PROJECT / "conf", root / "conf")
    (root / "soda").mkdir()
    (root / "soda/__init__.py").touch()
    shutil.copy(PROJECT / "tests/support/project/__main__.py", root / "soda/__main__.py")
