"""Runs whose process is gone are started again, those that live are left alone: on a real server, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.states import Cancelling, Completed, Crashed, Pending, Running

from flows.dvc_client import Dvc
from flows.lock import WorkspaceBusyError, abandoned_run, workspace_lock
from flows.processes import RUN_ID
from flows.watch import MOST_STARTS, WORKER, Watch, processes_of_runs
from tests.support.running import lives
from tests.support.scratch_project import PROJECT


@flow
def anything() -> None:
    """What the runs here are runs of."""


@pytest.fixture
def client(prefect_server: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def worker() -> str:
    return f"here {uuid.uuid4().hex}"


def _run(client: SyncPrefectClient, worker: str, state: Any) -> uuid.UUID:
    run = client.create_flow_run(anything, state=state).id
    client.update_flow_run_labels(run, {WORKER: worker})  # as a worker does when it takes a run
    return run


def _process(run: uuid.UUID, *words: str) -> subprocess.Popen[bytes]:
    """A process with the run's id in its environment, called as the words say."""
    command = [sys.executable, "-c", "import time; time.sleep(60)", *words]
    return subprocess.Popen(command, env={**os.environ, RUN_ID: str(run)})


def _name(client: SyncPrefectClient, run: uuid.UUID) -> str:
    return str(client.read_flow_run(run).state_name)


def _names(client: SyncPrefectClient, run: uuid.UUID) -> list[str]:
    return [str(state.name) for state in client.read_flow_run_states(run)]


def test_a_run_that_lives_is_left_alone_and_one_that_was_killed_is_started_again(client: SyncPrefectClient, worker: str) -> None:
    run, others = _run(client, worker, Running()), _run(client, "elsewhere", Running())
    task = client.create_task_run(task=_task(), flow_run_id=run, dynamic_key="0", state=Running())
    engine, watch = _process(run, "prefect.engine"), Watch(worker)
    try:
        for _ in range(4):
            assert watch.look(client) == []
        engine.kill()
        assert watch.look(client) == [] and _name(client, run) == "Running"  # it may just be ending
        assert watch.look(client) == [str(run)]
    finally:
        engine.kill()
        engine.wait()
    assert _names(client, run) == ["Running", "Killed", "AwaitingRetry"]
    assert client.read_task_run(task.id).state_name == "Crashed" and _name(client, others) == "Running"
    assert watch.look(client) == []


def _task() -> Any:
    from prefect import task

    return task(lambda: None, name="a stage")


def test_a_number_that_was_given_again_does_not_make_a_run_live(client: SyncPrefectClient, worker: str) -> None:
    run = _run(client, worker, Running())
    stranger = subprocess.Popen(["sleep", "60"])
    client.update_flow_run(run, infrastructure_pid=str(stranger.pid))
    try:
        watch = Watch(worker)
        assert [watch.look(client), watch.look(client)] == [[], [str(run)]]
    finally:
        stranger.kill()
        stranger.wait()


def test_what_a_killed_flow_left_at_work_saves_before_its_run_starts_again(client: SyncPrefectClient, worker: str) -> None:
    run = _run(client, worker, Running())
    stage, watch = _process(run, "soda", "train"), Watch(worker)
    watch.look(client)
    assert watch.look(client) == []  # asked to end
    assert stage.wait(10) == -signal.SIGTERM and _name(client, run) == "Running"
    assert watch.look(client) == [str(run)] and _name(client, run) == "AwaitingRetry"


def test_a_run_that_ends_between_two_looks_stays_ended(client: SyncPrefectClient, worker: str) -> None:
    run, asked = _run(client, worker, Running()), []

    def ends_now() -> dict[str, list[psutil.Process]]:
        asked.append(1)
        if len(asked) == 2:  # the second look has read its state, and the run ends
            client.set_flow_run_state(run, Completed(), force=True)
        return {}

    watch = Watch(worker, ends_now)
    assert [watch.look(client), watch.look(client), watch.look(client)] == [[], [], []]
    assert _names(client, run) == ["Running", "Completed"]


@pytest.mark.parametrize(("state", "looks", "becomes"), [(Cancelling(), 2, "Cancelled"), (Pending(), 3, "AwaitingRetry")])
def test_what_a_killed_worker_had_taken_or_was_to_cancel(
    state: Any, looks: int, becomes: str, client: SyncPrefectClient, worker: str
) -> None:
    run, watch = _run(client, worker, state), Watch(worker)
    assert [watch.look(client) for _ in range(looks)] == [[]] * (looks - 1) + [[str(run)]]
    assert _name(client, run) == becomes


def test_a_run_that_dies_of_itself_is_given_up_and_old_crashes_are_left_alone(client: SyncPrefectClient, worker: str) -> None:
    run, watch = _run(client, worker, Running()), Watch(worker)
    for _ in range(MOST_STARTS + 1):
        client.set_flow_run_state(run, Crashed(message="Process exited with status code: -9."), force=True)
        watch.look(client)
        watch.look(client)
    assert _names(client, run).count("AwaitingRetry") == MOST_STARTS and _name(client, run) == "GivenUp"
    assert watch.look(client) == []
    old = _run(client, worker, Crashed(message="of another time"))
    later = Watch(worker, fresh=timedelta(0))
    assert [later.look(client), later.look(client), later.look(client)] == [[], [], []] and _name(client, old) == "Crashed"


def test_the_run_of_a_process_is_in_its_environment() -> None:
    run = uuid.uuid4()
    process = _process(run)
    try:
        assert [each.pid for each in processes_of_runs()[str(run)]] == [process.pid]
    finally:
        process.kill()
        process.wait()
    assert str(run) not in processes_of_runs()


def test_a_stage_ends_with_a_flow_that_was_killed_and_holds_the_workspace_until_it_has_saved(project: Path) -> None:
    (project / "misbehave").mkdir()
    (project / "misbehave/export").write_text("hang")
    script = (
        "import sys; from pathlib import Path; from flows.dvc_client import Dvc; from flows.lock import workspace_lock\n"
        "with workspace_lock(Path('.'), 'a run') as lock, Dvc(Path('.'), inherit=[lock]) as dvc:\n"
        "    dvc.run_stage('export', force=True)"
    )
    run = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(PROJECT)})
    deadline = time.monotonic() + 60
    while not (project / "pid").exists():
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    assert abandoned_run(project) is None
    run.kill()
    run.wait()
    assert abandoned_run(project) == "a run"
    stage, deadline = int((project / "pid").read_text()), time.monotonic() + 60
    while True:
        try:
            with workspace_lock(project, "the next"):
                assert (project / "saved").exists()
            break
        except WorkspaceBusyError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    while lives(stage):  # what it held is free a moment before it is gone
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (project / "misbehave/export").unlink()
    with Dvc(project) as dvc:
        assert dvc.run_stage("export", force=True).ran
