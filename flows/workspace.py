"""Deployments work in a checkout of their own: the project's tracked files stay as they are, and `git pull` has no conflict.

It lies in .prefect/workspace, follows the project's commit, and keeps what its runs wrote: dvc.lock, params.yaml and reports/.
Data and models are shared through the project's DVC cache.
"""

from __future__ import annotations

import configparser
import fcntl
import shutil
import subprocess
from pathlib import Path

from flows.lock import LOCK_FILE
from soda.common.errors import SodaError
from soda.common.files import whole_file
from soda.common.safekeeping import LOCK, PARAMS
from soda.layout import REPORTS

WORKSPACE = Path(".prefect/workspace")
_OF_RUNS = (LOCK, PARAMS, REPORTS)


def project_of(root: Path) -> Path:
    """The project of a workspace of deployments; a project itself."""
    return Path(str(root.resolve()).removesuffix(f"/{WORKSPACE}"))


class WorkspaceError(SodaError, RuntimeError):
    """The checkout could not be made or brought up to date; the message has Git's words."""


def own_workspace(project: str) -> dict[str, str]:
    """A step of a deployment's `pull`: make the workspace of the project in that folder, or bring it up to the project's commit.

    Returns its folder as `directory`. While a run is at work there, it is left as it is. Raises WorkspaceError.
    """
    root = Path(project).resolve()
    workspace = root / WORKSPACE
    workspace.parent.mkdir(parents=True, exist_ok=True)
    with workspace.with_name(f"{workspace.name}.lock").open("a+") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # runs of both queues may begin at once; given back with the file
        return _brought_up(root, workspace)


def _brought_up(root: Path, workspace: Path) -> dict[str, str]:
    if not (workspace / ".git").exists():
        _clone(root, workspace)
    with (workspace / LOCK_FILE).open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return {"directory": str(workspace)}  # the run there goes on, and this one will say that it is busy
        _follow(root, workspace)
        _share_cache(root, workspace)
    return {"directory": str(workspace)}


def _git(folder: Path, *arguments: str) -> str:
    answer = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise WorkspaceError(f"{folder}: git {arguments[0]}: {answer.stderr.strip()}; a deployment needs the project in Git")
    return answer.stdout.strip()


def _clone(root: Path, workspace: Path) -> None:
    temporary = workspace.with_name(f"{workspace.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)  # of a clone that was killed
    _git(root, "clone", "--quiet", "--local", "--no-tags", str(root), str(temporary))
    _git(temporary, "checkout", "--quiet", "--detach")
    (temporary / LOCK_FILE.parent).mkdir(parents=True, exist_ok=True)
    temporary.rename(workspace)


def _follow(root: Path, workspace: Path) -> None:
    """Bring all but what runs write to the project's commit, wherever that lies now. Killed on the way, the next time does it."""
    _git(workspace, "remote", "set-url", "origin", str(root))
    _git(workspace, "fetch", "--quiet", "--no-tags", "origin", "HEAD")
    old, new = _git(workspace, "rev-parse", "HEAD"), _git(workspace, "rev-parse", "FETCH_HEAD")
    if old == new:
        return
    code = ["--", ".", *(f":(exclude){path.as_posix()}" for path in _OF_RUNS)]
    gone = _git(workspace, "diff", "--name-only", "--no-renames", "--diff-filter=D", "-z", old, new, *code)
    for name in filter(None, gone.split("\0")):
        (workspace / name).unlink(missing_ok=True)
    _git(workspace, "checkout", "--quiet", new, *code)
    _git(workspace, "update-ref", "--no-deref", "HEAD", new)
    _git(workspace, "read-tree", "HEAD")


def _share_cache(root: Path, workspace: Path) -> None:
    """The project's own settings of DVC (its remotes and their keys), and its cache."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(root / ".dvc/config.local", encoding="utf-8")
    if not settings.has_section("cache"):
        settings.add_section("cache")
    settings["cache"].setdefault("dir", str(root / ".dvc/cache"))
    with whole_file(workspace / ".dvc/config.local") as temporary:
        temporary.touch(mode=0o600)
        with temporary.open("w", encoding="utf-8") as file:
            settings.write(file)
