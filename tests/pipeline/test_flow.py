"""The flow on a real DVC project with a real Prefect server: what runs, what is shown, and what happens when things go wrong."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from PIL import Image
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowRunFilter, FlowRunFilterId
from prefect.exceptions import FailedRun
from prefect.states import Running

from flows import pipeline as flow_module
from flows.lock import WorkspaceBusyError, settle_ends, workspace_lock
from flows.pipeline import pipeline
from flows.quiet import calm_logs
from soda.common.safekeeping import keep_copies
from tests.support.running import lives
from tests.support.scratch_project import ORDER, PROJECT

pytestmark = pytest.mark.usefixtures("prefect_server")

Ran = Callable[[], list[str]]


def _run(**parameters: Any) -> Any:
    return pipeline(return_state=True, **parameters)


def _artifacts(state: Any) -> dict[str, str]:
    run = state.state_details.flow_run_id
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run])))
    return {str(artifact.key): str(artifact.data) for artifact in found}


def _tasks(state: Any, *, none: bool = False) -> dict[str, str]:
    """The task runs of a run and their states, in the order in which they started. Prefect records them with a delay, the first
    one too: they are asked for until no more come; where `none` is expected, for a second.
    """
    chosen, before = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id])), 0
    with get_client(sync_client=True) as client:
        for _ in range(2 if none else 100):
            runs = client.read_task_runs(flow_run_filter=chosen)
            if 0 < len(runs) == before and all(run.state and run.state.is_final() for run in runs):
                break
            before = len(runs)
            time.sleep(0.5)
    return {run.name: str(run.state_name) for run in sorted(runs, key=lambda run: run.start_time or run.expected_start_time)}


def _misbehave(project: Path, stage: str, how: str) -> None:
    (project / "misbehave").mkdir(exist_ok=True)
    (project / "misbehave" / stage).write_text(how)


def test_a_forced_run_makes_the_files_of_plain_dvc_repro_one_task_a_stage_in_its_order(
    project: Path, finished: Path, ran: Ran
) -> None:
    state = _run(force=True)
    assert state.is_completed(), state.message
    assert ran() == ORDER
    assert list(_tasks(state)) == ORDER
    assert (project / "dvc.lock").read_text() == (finished / "dvc.lock").read_text()
    artifacts = _artifacts(state)
    assert "PASSED" in artifacts["verdict"]
    assert "raw pixels" in artifacts["metrics"] and "+7.0 points" in artifacts["metrics"]
    assert artifacts["picture-reconstructions"].startswith("![reconstructions](data:image/")
    assert "reports/index.html" in artifacts["report"]


def test_a_set_that_fails_the_gate_fails_the_run_shows_the_verdict_and_trains_nothing(project: Path, ran: Ran) -> None:
    earlier = (project / "reports/train.json").read_text()
    _misbehave(project, "validate", "fail")
    state = _run(overrides="gate.min_std=0.006 train=smoke")
    assert state.is_failed() and "picture test-17 is in train as well" in state.message
    assert "Traceback" not in state.message
    assert ran() == ["validate"]
    artifacts = _artifacts(state)
    assert "FAILED" in artifacts["verdict"] and "test-17" in artifacts["verdict"] and "cats/a\\|b.jpg" in artifacts["verdict"]
    assert "| train-3 | ![image](data:image/jpeg;base64,QQ==) |" in artifacts["verdict"]
    assert _tasks(state)["validate"] == "Failed"
    assert (project / "reports/train.json").read_text() == earlier


def test_a_failed_stage_does_not_show_what_an_earlier_run_left(project: Path) -> None:
    _misbehave(project, "train", "fail")
    state = _run(overrides=["train=smoke"])
    assert state.is_failed() and state.message.startswith("stage train failed:")
    assert "metrics-train" not in _artifacts(state)


def test_from_stage_leaves_those_before_and_the_settings_as_they_are(project: Path, ran: Ran) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["export"]["parity_images"] += 1
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    state = _run(from_stage="report", force=True)
    assert state.is_completed(), state.message
    assert ran() == ["report"]
    assert yaml.safe_load((project / "params.yaml").read_text()) == params


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"overrides": "train.imagse=3"}, "imagse"),
        ({"overrides": "train.images=-3"}, "train.images: -3"),
        ({"overrides": "train='long"}, "No closing quotation"),
        ({"from_stage": "trian"}, "trian"),
    ],
)
def test_what_is_not_possible_is_named_and_changes_nothing(
    parameters: dict[str, str], named: str, project: Path, ran: Ran
) -> None:
    before = (project / "params.yaml").read_bytes()
    state = _run(**parameters)
    assert state.is_failed() and named in state.message
    assert ran() == [] and (project / "params.yaml").read_bytes() == before


def test_files_that_dvc_could_not_hash_stop_no_run(project: Path, ran: Ran, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (32, 32), "red").save(folder / "a.png")
    (folder / "nowhere.png").symlink_to("/gone.png")
    (folder / "linked").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    with open(os.fsencode(folder) + b"/\xff.png", "wb") as file:
        file.write(b"x")
    settings = {"overrides": ["dataset=folder", f"dataset.path={folder}"], "until_stage": "fetch"}
    assert _run(**settings).is_completed() and ran() == ["fetch"]
    assert _run(**settings).is_completed() and ran() == ["fetch"], "nothing has changed"
    Image.new("RGB", (32, 32), "blue").save(folder / "b.png")
    assert _run(**settings).is_completed() and ran() == ["fetch", "fetch"]


def test_a_stage_is_tried_again_only_when_it_could_not_reach_something(
    project: Path, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in ("fetch", "prepare"):
        monkeypatch.setitem(flow_module.RETRY_DELAYS, stage, [0.0, 0.0])
    (project / "my pictures").mkdir()
    _misbehave(project, "fetch", "away")  # the second time it goes well
    _misbehave(project, "prepare", "fail")
    state = _run(overrides="dataset=folder dataset.path='my pictures'")
    assert ran() == ["fetch", "fetch", "prepare"], state.message


def test_a_second_run_in_the_workspace_is_refused_at_once(project: Path, ran: Ran) -> None:
    with workspace_lock(project, "another"):
        state = _run(force=True)
    assert state.is_failed() and f"process {os.getpid()}" in state.message
    assert ran() == []


def test_a_stage_that_outlives_its_run_keeps_the_workspace(project: Path) -> None:
    with workspace_lock(project, "run") as lock:
        left_behind = subprocess.Popen(["sleep", "30"], pass_fds=[lock])
    try:
        with pytest.raises(WorkspaceBusyError), workspace_lock(project, "next"):
            pass
    finally:
        left_behind.kill()
        left_behind.wait()
    with workspace_lock(project, "next"):
        pass


def test_an_up_to_date_project_runs_nothing_publishes_nothing_and_closes_the_run_that_was_killed(project: Path, ran: Ran) -> None:
    before = (project / "params.yaml").stat().st_mtime_ns
    with get_client(sync_client=True) as client:
        killed = client.create_flow_run(pipeline, state=Running())
        (project / ".dvc/tmp/pipeline.json").write_text(json.dumps({"pid": 2**22 + 1, "run": str(killed.id)}))
        state = _run()
        assert client.read_flow_run(killed.id).state_name == "Crashed"
    assert state.is_completed() and ran() == []
    assert (project / "params.yaml").stat().st_mtime_ns == before
    assert _artifacts(state) == {} and _tasks(state, none=True) == {}  # what an earlier run published is there still


def test_a_run_is_remembered_until_a_server_has_heard_of_its_end(project: Path) -> None:
    with workspace_lock(project, "first"):
        assert settle_ends(project, lambda run: True) == []  # none before it
    with workspace_lock(project, "second"):
        assert settle_ends(project, lambda run: None) == []  # another server, which does not know it
    with workspace_lock(project, "third"):
        assert settle_ends(project, {"first": True, "second": False}.__getitem__) == ["first"]
    with workspace_lock(project, "fourth"):
        assert settle_ends(project, {"third": False}.__getitem__) == []


def test_a_run_after_a_kill_goes_by_the_lock_file_that_was_put_back(project: Path, ran: Ran) -> None:
    keep_copies(project)
    (project / "dvc.lock").write_text("")
    (project / ".dvc/tmp/rwlock").write_text('{"write": {"models')
    state = _run()
    assert state.is_completed(), state.message
    assert ran() == []


@pytest.fixture
def run_by_hand(project: Path, prefect_server: str) -> Iterator[subprocess.Popen[str]]:
    """`make pipeline` at work on a stage that hangs, for a server of its own that the test may end."""
    _misbehave(project, "train", "hang")
    command = [sys.executable, "-P", "-m", "flows.pipeline", "--from-stage", "train", "--force"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "PREFECT_HOME": str(project / ".prefect")}
    environment["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "120"
    environment.pop("PREFECT_API_URL", None)
    run = subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (project / "pid").exists() and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.1)
    assert run.poll() is None, run.communicate()[1]
    yield run
    run.kill()
    run.communicate()


@pytest.mark.parametrize(("sign", "server_dies"), [(signal.SIGTERM, False), (signal.SIGINT, True)])
def test_a_run_that_is_stopped_lets_its_stage_save_and_ends_in_one_line(
    sign: signal.Signals, server_dies: bool, project: Path, run_by_hand: subprocess.Popen[str]
) -> None:
    (server,) = [each for each in psutil.Process(run_by_hand.pid).children() if "temporary_server" in " ".join(each.cmdline())]
    if server_dies:
        server.kill()
    run_by_hand.send_signal(sign)
    assert run_by_hand.stderr is not None
    words, saved = "", time.monotonic()
    while line := run_by_hand.stderr.readline():
        words += line
        saved = time.monotonic() if "saved the checkpoint" in line else saved
    run_by_hand.wait(30)
    seconds = time.monotonic() - saved
    assert (project / "saved").exists(), words
    assert run_by_hand.returncode == 128 + sign
    after = words.partition("saved the checkpoint\n")[2]
    assert "Traceback" not in words and "stage train was stopped; the same command goes on" in after
    assert after.count("\n") <= 1 and seconds < 5, (seconds, after)
    assert not lives(server.pid)
    with workspace_lock(project, "next"):
        unreported = json.loads((project / ".dvc/tmp/pipeline.json").read_text())["unreported"]
    assert len(unreported) == 1  # the next run asks for it, and reports its end where the server did not hear of it


def test_logs_tell_a_failed_run_once_and_keep_the_traceback_of_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    calm_logs()
    calm_logs()
    engine = logging.getLogger("prefect.engine")
    caplog.handler.setFormatter(logging.Formatter())
    engine.addHandler(caplog.handler)
    try:
        for error in (FailedRun("stage validate failed: 3 rows"), ZeroDivisionError("a bug")):
            try:
                raise error
            except Exception:
                engine.error("unexpected", exc_info=True)
        engine.error("no traceback here", exc_info=(None, None, None))
    finally:
        engine.removeHandler(caplog.handler)
    assert "FailedRun" not in caplog.text and caplog.text.count("Traceback") >= 1 and "a bug" in caplog.text
    assert "NoneType: None" not in caplog.text
