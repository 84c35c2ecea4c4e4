"""A project made, and brought up to the installed package: files that nobody changed follow it, others stay."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from soda.common.files import whole_file, write_json
from soda.common.without_git import allow_without_git
from soda.layout import DATA, MODELS, REPORTS
from soda.projects import ProjectError
from soda.projects.template import DVC_CONFIG, DVC_IGNORED, GITIGNORE, README, template_files

NOTED = Path("conf/package.json")
"""What each file was when it came from the package; kept by Git, so that every clone knows."""


def make_project(folder: Path) -> None:
    """Lay out a new project in `folder`, which is made, with DVC, and with Git where that is installed. params.yaml is left to
    whoever composes it.

    Raises ProjectError for a folder that holds anything already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ProjectError(f"{folder}: there is something in it already; a new project needs an empty folder or a new name")
    folder.mkdir(parents=True, exist_ok=True)
    files = template_files()
    for name, content in files.items():
        _put(folder / name, content)
    write_json(folder / NOTED, {name: _digest(content) for name, content in files.items()})
    ours = {".gitignore": GITIGNORE, ".dvc/config": DVC_CONFIG, ".dvc/.gitignore": DVC_IGNORED}
    for name, text in (ours | {"README.md": README.format(name=folder.name)}).items():
        _put(folder / name, text.encode())
    for made in (DATA, MODELS, REPORTS):
        (folder / made).mkdir(exist_ok=True)
    if shutil.which("git"):
        _git(folder, "init", "--quiet")
    else:
        allow_without_git(folder)


def commit(folder: Path) -> bool:
    """The first commit of a new project; False where Git is missing or does not know who commits."""
    if not (folder / ".git").exists():
        return False
    _git(folder, "add", "--all")
    done = subprocess.run(["git", "commit", "--quiet", "-m", "A new project"], cwd=folder, capture_output=True, check=False)
    return done.returncode == 0


def follow_package(folder: Path) -> tuple[list[str], list[str]]:
    """Bring the files that came from the package up to it. Returns those that changed, and those that stay because the person
    changed them while the package did, too. A checkout of the package itself, which notes nothing, is left alone.

    Raises ProjectError for a folder that is no project.
    """
    if not (folder / "dvc.yaml").is_file() or not (folder / "conf").is_dir():
        raise ProjectError(f"{folder}: not a project (there is no dvc.yaml and conf/ in it); `soda new DIR` makes one")
    if not (folder / NOTED).is_file():
        return [], []
    noted, files = json.loads((folder / NOTED).read_text(encoding="utf-8")), template_files()
    changed, kept = list[str](), list[str]()
    for name in sorted({*files, *noted}):
        new, path = files.get(name), folder / name
        was = noted.get(name)
        here = _digest(path.read_bytes()) if path.is_file() else None
        if new is None and here == was and here is not None:
            path.unlink()
            changed.append(name)
        elif new is not None and _digest(new) != was:
            if here == was:
                _put(path, new)
                changed.append(name)
            elif here != _digest(new):
                kept.append(name)
    if changed or kept:
        write_json(folder / NOTED, {name: _digest(content) for name, content in files.items()})
    return changed, kept


def _put(path: Path, content: bytes) -> None:
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
        if path.name == "stage":
            temporary.chmod(0o755)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProjectError(f"{folder}: git {arguments[0]}: {done.stderr.strip()}")
