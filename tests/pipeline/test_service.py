"""What a deployment stands on: a workspace of its own, and a server that is this project's."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from flows.lock import LOCK_FILE, WorkspaceBusyError, workspace_lock
from flows.processes import RUN_ID
from flows.server import choose_port, project_url
from flows.temporary_server import ServerError
from flows.tidy import tidy
from flows.workspace import WORKSPACE, own_workspace
from tests.support.scratch_project import PROJECT


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """A project in Git whose runs write what it tracks."""
    root = tmp_path / "a project"
    (root / ".dvc").mkdir(parents=True)
    (root / "reports").mkdir()
    shutil.copy(PROJECT / ".dvc/config", root / ".dvc/config")
    (root / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (root / ".gitignore").write_text("/.prefect/\n")
    for name in ("dvc.lock", "params.yaml", "reports/metrics.json", "code.py", "old.py"):
        (root / name).write_text(f"{name} 1\n")
    _git(root, "init", "-q")
    _git(root, "add", "-A")
    _git(root, "commit", "-qm", "one")
    return root


def test_runs_of_a_deployment_leave_the_project_clean_and_follow_its_commits(service: Path) -> None:
    workspace = Path(own_workspace(str(service))["directory"])
    assert workspace == service / WORKSPACE and (workspace / "code.py").read_text() == "code.py 1\n"
    for name in ("dvc.lock", "params.yaml", "reports/metrics.json"):  # what a run writes
        (workspace / name).write_text(f"{name} of a run\n")
    assert _git(service, "status", "--porcelain") == ""
    for name in ("dvc.lock", "params.yaml", "reports/metrics.json", "code.py"):  # what comes with `git pull`
        (service / name).write_text(f"{name} 2\n")
    (service / "old.py").unlink()
    (service / "new.py").write_text("new\n")
    _git(service, "add", "-A")
    _git(service, "commit", "-qm", "two")
    for _ in range(2):
        own_workspace(str(service))
        assert (workspace / "code.py").read_text() == "code.py 2\n" and (workspace / "new.py").exists()
        assert not (workspace / "old.py").exists()
        for name in ("dvc.lock", "params.yaml", "reports/metrics.json"):
            assert (workspace / name).read_text() == f"{name} of a run\n"
    assert _git(service, "rev-parse", "HEAD") == _git(workspace, "rev-parse", "HEAD")


def test_a_workspace_shares_the_cache_and_is_left_alone_while_a_run_is_at_work(service: Path) -> None:
    (service / ".dvc/config.local").write_text("['remote \"store\"']\n    url = /mnt/100%full\n")
    workspace = Path(own_workspace(str(service))["directory"])
    for name in ("dvc.lock", "params.yaml"):
        (workspace / name).write_text("")
    with Repo(str(workspace)) as repo:
        assert Path(repo.cache.local.path).is_relative_to(service / ".dvc/cache")
        assert repo.config["remote"]["store"]["url"] == "/mnt/100%full"
    (service / "code.py").write_text("code.py 2\n")
    _git(service, "commit", "-qam", "two")
    with (workspace / LOCK_FILE).open("a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        own_workspace(str(service))
    assert (workspace / "code.py").read_text() == "code.py 1\n"
    own_workspace(str(service))
    assert (workspace / "code.py").read_text() == "code.py 2\n"


def test_a_project_that_was_moved_keeps_its_workspace(service: Path, tmp_path: Path) -> None:
    (Path(own_workspace(str(service))["directory"]) / "params.yaml").write_text("of a run\n")
    moved = service.rename(tmp_path / "elsewhere")
    (moved / "code.py").write_text("code.py 2\n")
    _git(moved, "commit", "-qam", "two")
    workspace = Path(own_workspace(str(moved))["directory"])
    assert (workspace / "code.py").read_text() == "code.py 2\n" and (workspace / "params.yaml").read_text() == "of a run\n"
    with Repo(str(workspace)) as repo:
        assert Path(repo.cache.local.path).is_relative_to(moved / ".dvc/cache")


def test_runs_that_begin_at_once_make_one_workspace(service: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: own_workspace(str(service))["directory"], range(4)))
    assert set(found) == {str(service / WORKSPACE)}
    assert (service / WORKSPACE / "code.py").exists() and not (service / f"{WORKSPACE}.new").exists()


def test_a_workers_run_waits_for_what_holds_the_workspace_briefly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUN_ID, "a run")
    path = tmp_path / LOCK_FILE
    path.parent.mkdir(parents=True)
    held = path.open("a+")
    fcntl.flock(held, fcntl.LOCK_EX)
    threading.Timer(0.5, held.close).start()
    with workspace_lock(tmp_path, "a run"):
        assert held.closed
    monkeypatch.setattr("flows.lock.PATIENCE", 0.3)
    with workspace_lock(tmp_path, "a run"), pytest.raises(WorkspaceBusyError), workspace_lock(tmp_path, "the next"):
        pass


def test_another_projects_server_is_not_joined(prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    own = Path(PREFECT_HOME.value())
    (own / "server.json").write_text(json.dumps({"url": prefect_server}))
    try:
        with temporary_settings(updates={PREFECT_API_URL: "http://127.0.0.1:9/api"}):
            assert project_url() == prefect_server
        other = tmp_path / "other clone"
        other.mkdir()
        (other / "server.json").write_text(json.dumps({"url": prefect_server}))
        with temporary_settings(updates={PREFECT_HOME: other, PREFECT_API_URL: prefect_server}):
            assert project_url() is None
            monkeypatch.setenv("PREFECT_API_URL", prefect_server)  # asked for
            assert project_url() == prefect_server
    finally:
        (own / "server.json").unlink()


def test_a_taken_port_is_passed_over_unless_it_was_asked_for() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"port {port} is taken"):
            choose_port(port)
    assert choose_port(port) == port


def test_a_deployment_works_in_a_workspace_of_its_own_and_its_output_outlives_the_worker() -> None:
    declared: dict[str, Any] = yaml.safe_load((PROJECT / "prefect.yaml").read_text())
    steps = [next(iter(step)) for step in declared["pull"]]
    assert steps == ["flows.workspace.own_workspace", "prefect.deployments.steps.set_working_directory"]
    for deployment in declared["deployments"]:
        assert deployment["work_pool"]["job_variables"]["stream_output"] is False


def test_retention_lists_first_and_lets_go_only_when_asked(project: Path, prefect_server: str) -> None:
    for name, days in (("fresh", 1), ("old", 40)):
        (project / "runs" / name).mkdir(parents=True)
        (project / "runs" / name / "checkpoint.pt").touch()
        then = time.time() - days * 86400
        for path in ((project / "runs" / name / "checkpoint.pt"), project / "runs" / name):
            os.utime(path, (then, then))
    (project / ".gitignore").write_text((PROJECT / ".gitignore").read_text())
    unused = project / ".dvc/cache/files/md5/00" / ("0" * 30)
    unused.parent.mkdir(exist_ok=True)
    unused.write_text("of no commit")
    used = {path for path in (project / ".dvc/cache/files").rglob("*") if path.is_file()} - {unused}
    key = f"retention-{uuid.uuid4().hex[:8]}"
    with get_client(sync_client=True) as client:
        for version in range(4):
            client.create_artifact(ArtifactCreate(key=key, type="markdown", data=str(version)))

        def versions() -> list[str]:
            wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
            return sorted(str(each.data) for each in client.read_artifacts(artifact_filter=wanted))

        state = tidy(artifacts=2, cache=True, return_state=True)
        assert state.is_completed(), state.message
        assert "delete=true" in state.message and len(versions()) == 4 and unused.exists() and (project / "runs/old").exists()
        state = tidy(artifacts=2, cache=True, delete=True, return_state=True)
        assert state.is_completed(), state.message
        assert versions() == ["2", "3"]
    assert not (project / "runs/old").exists() and (project / "runs/fresh/checkpoint.pt").exists()
    assert not unused.exists() and all(path.exists() for path in used)
