"""A scratch project: this project's dvc.yaml, DVC settings, conf/ and launcher, with stages that take milliseconds."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from soda.config import compose, write_params

PROJECT = Path(__file__).parents[2]


def repro(root: Path, *targets: str) -> None:
    """What `dvc repro [--single-item targets]` does, without the second that the command line takes to start."""
    with chdir(root), Repo() as repo:
        repo.reproduce(targets=list(targets) or None, single_item=bool(targets))


def _lay_out(root: Path) -> None:
    for name in ("dvc.yaml", "stage", ".dvcignore"):
        shutil.copy(PROJECT / name, root / name)
    write_params(compose([], PROJECT / "conf"), root / "params.yaml")
    (root / ".dvc").mkdir()
    shutil.copy(PROJECT / ".dvc/config", root / ".dvc/config")
    (root / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    shutil.copytree(PROJECT / "conf", root / "conf")
    for stage in yaml.safe_load((root / "dvc.yaml").read_text())["stages"].values():
        for path in (root / dependency for dependency in stage["deps"] if dependency.startswith("soda/")):
            path = path if path.suffix else path / "code.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("pass\n")
    (root / "soda/__init__.py").touch()
    shutil.copy(Path(__file__).parent / "project/__main__.py", root / "soda/__main__.py")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scratch project in which plain `dvc repro` ran everything once. Copy it (`project`), do not change it."""
    root = tmp_path_factory.mktemp("finished")
    _lay_out(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SODA_PYTHON", sys.executable)
        repro(root)
    return root


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished scratch project, made the working directory, with an empty ran.log."""
    root = tmp_path / "a project"
    shutil.copytree(finished, root)
    (root / "ran.log").write_text("")
    monkeypatch.chdir(root)
    monkeypatch.setenv("SODA_PYTHON", sys.executable)
    return root


@pytest.fixture
def ran(project: Path) -> Callable[[], list[str]]:
    """The stages that really ran in `project`, in order."""
    return lambda: (project / "ran.log").read_text().split()


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """A Prefect server with a database of its own; returns the address of its API."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())
