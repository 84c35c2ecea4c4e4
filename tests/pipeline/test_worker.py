"""A worker and its run, both killed amid a stage: the next worker starts the run again, and it ends as if nothing had been."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from prefect.client.orchestration import get_client

from flows.pipeline import pipeline
from flows.pool import lay_out
from flows.processes import RUN_ID
from flows.watch import is_engine, processes_of_runs
from tests.support.scratch_project import PROJECT

PATIENCE = 240.0  # seconds for each of the steps; on an idle machine all of them take less than a minute


def _wait(for_what: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not for_what():
        assert time.monotonic() < deadline, for_what
        time.sleep(0.2)


@contextlib.contextmanager
def _worker(project: Path, pool: str, url: str) -> Iterator[None]:
    """What `make worker` starts; killed at the end, but for its runs."""
    around = {key: value for key, value in os.environ.items() if key != RUN_ID}
    around |= {"PREFECT_API_URL": url, "PYTHONPATH": str(PROJECT)}
    with (project / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.worker", pool], cwd=project, env=around, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        process.kill()  # the worker below it ends with it
        process.wait()


@pytest.mark.slow
def test_a_run_that_was_killed_with_its_worker_is_started_again_and_completes(
    project: Path, prefect_server: str, ran: Callable[[], list[str]]
) -> None:
    shutil.copytree(PROJECT / "flows", project / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    (project / "misbehave").mkdir()
    (project / "misbehave/export").write_text("hang")
    pool = f"pool-{uuid.uuid4().hex}"
    with get_client(sync_client=True) as client:
        lay_out(client, PROJECT, pool)
        deployment = client.create_deployment(
            client.create_flow(pipeline),
            uuid.uuid4().hex,
            work_pool_name=pool,
            work_queue_name="workspace",
            entrypoint="flows/pipeline.py:pipeline",
            pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(project)}}],
            parameters={"from_stage": "export", "until_stage": "export", "force": True},
        )
        with _worker(project, pool, prefect_server):
            run = client.create_flow_run_from_deployment(deployment).id
            _wait((project / "pid").exists)  # the stage is at work
        engines: list[psutil.Process] = list(filter(is_engine, processes_of_runs()[str(run)]))
        assert engines  # it outlived its worker
        (project / "misbehave/export").unlink()
        for each in engines:
            each.send_signal(signal.SIGKILL)
        assert client.read_flow_run(run).state_name == "Running"  # nobody has told the server
        with _worker(project, pool, prefect_server):
            _wait(lambda: client.read_flow_run(run).state_name == "Completed")
        names = [state.name for state in client.read_flow_run_states(run)]
    assert "AwaitingRetry" in names and names.count("Running") == 2 and (project / "saved").exists()
    assert ran()[-1] == "export"
