"""Releases in Git, as GTO and DVC read them: a tag `encoder@v1.2.0` a version, `encoder#prod#3` for what is in use since then.

The tag is on a commit of its own, on no branch, with the dvc.lock, settings and figures of the run and the release's papers: so a
workspace that the project's branch knows nothing of can be released. `dvc artifacts get PROJECT encoder --rev v1.2.0`, or with
`--stage prod`, brings the file.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from soda.common.errors import NotInstalledError
from soda.layout import METRICS, PARTS, VERDICT
from soda.release import ReleaseError

NAME = "encoder"  # of the artifact in dvc.yaml
STAGE = "prod"
PAPERS = "release"  # the folder of the release's papers in the commit
_OF_THE_RUN = ("dvc.lock", "params.yaml", VERDICT.as_posix(), METRICS.as_posix(), *(each.as_posix() for each in PARTS.values()))
_AUTHOR = ("soda", "soda@localhost")


def _git(folder: Path, *arguments: str, given: bytes = b"", environment: Mapping[str, str] | None = None) -> str:
    around = {**os.environ, **(environment or {})}
    answer = subprocess.run(["git", *arguments], cwd=folder, input=given, capture_output=True, check=False, env=around)
    if answer.returncode != 0:
        said = answer.stderr.decode(errors="replace").strip()
        raise ReleaseError(f"{folder}: git {arguments[0]}: {said}; a release is a tag of the project's Git")
    return answer.stdout.decode(errors="replace").strip()


def tagged(project: Path) -> list[str]:
    """The versions that have a tag."""
    return [each.partition("@")[2] for each in _git(project, "tag", "--list", f"{NAME}@v*").split()]


def commit(project: Path, workspace: Path, version: str, papers: Mapping[str, bytes]) -> str:
    """Put the run of that workspace and the papers into a commit of the project's Git, on top of the workspace's own.

    Returns its hash. Neither a branch nor an index of anybody's is touched.
    """
    base = _git(workspace, "rev-parse", "HEAD")
    git_dir = _git(project, "rev-parse", "--absolute-git-dir")
    with tempfile.TemporaryDirectory() as folder:
        apart = {"GIT_DIR": git_dir, "GIT_WORK_TREE": str(workspace), "GIT_INDEX_FILE": f"{folder}/index"}
        _git(workspace, "read-tree", base, environment=apart)
        written = [name for name in _OF_THE_RUN if (workspace / name).is_file()]
        _git(workspace, "add", "--force", "--", *written, environment=apart)
        for name, content in papers.items():
            blob = _git(workspace, "hash-object", "-w", "--stdin", given=content, environment=apart)
            _git(workspace, "update-index", "--add", "--cacheinfo", f"100644,{blob},{PAPERS}/{name}", environment=apart)
        tree = _git(workspace, "write-tree", environment=apart)
    name, address = author(project)
    people = {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": address, "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": address}
    return _git(project, "commit-tree", tree, "-p", base, "-m", f"Release {NAME} {version}", environment=people)


def author(project: Path) -> tuple[str, str]:
    """Who Git says works here; a service that nobody introduced has a name of its own."""
    try:
        return _git(project, "config", "user.name"), _git(project, "config", "user.email")
    except ReleaseError:
        return _AUTHOR


def register(project: Path, version: str, reference: str, message: str) -> None:
    """Tag a version; one that has its tag already keeps it. Raises ReleaseError with GTO's words."""
    if version not in tagged(project):
        _gto(project, "register", name=NAME, ref=reference, version=version, message=message, simple=True)


def assign(project: Path, version: str, message: str) -> None:
    """Say that this version is in use from now on: a tag encoder#prod#N. Raises ReleaseError with GTO's words."""
    if in_use(project) != version:
        # Forced: going back gives a stage to a version that had it before.
        _gto(project, "assign", name=NAME, stage=STAGE, version=version, message=message, force=True, simple=False)


def in_use(project: Path) -> str | None:
    """The version that Git says is in use; None without any."""
    tags = _git(project, "tag", "--list", f"{NAME}#{STAGE}#*").split()
    if not tags:
        return None
    last = max(tags, key=lambda tag: int(tag.rpartition("#")[2]))
    commit = _git(project, "rev-parse", f"{last}^{{commit}}")
    versions = _git(project, "tag", "--list", f"{NAME}@v*", "--points-at", commit).split()
    return versions[-1].partition("@")[2] if versions else None


def _gto(project: Path, action: str, **about: object) -> None:
    try:
        from gto import api
        from gto.exceptions import GTOException
    except ModuleNotFoundError:
        raise NotInstalledError("a release is a tag by GTO, which comes with DVC: pip install gto") from None
    name, address = author(project)
    try:
        getattr(api, action)(str(project), **about, author=name, author_email=address)
    except GTOException as error:
        raise ReleaseError(f"{project}: gto {action}: {error}") from None
