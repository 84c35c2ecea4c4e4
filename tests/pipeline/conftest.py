"""Scratch projects in which every stage ran once, and a Prefect server of one's own."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.scratch_project import lay_out, repro


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scratch project in which plain `dvc repro` ran everything once. Copy it (`project`), do not change it."""
    root = tmp_path_factory.mktemp("finished")
    lay_out(root)
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
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server with a database of its own; returns the address of its API."""
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    home = tmp_path_factory.mktemp("prefect")
    with temporary_settings(updates={PREFECT_HOME: home}), prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())
