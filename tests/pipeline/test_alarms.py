"""An alarm goes out: from a run that failed, through a real server's automation, to a program that listens on this machine."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.states import AwaitingRetry, Completed, Crashed, Failed, Running, State

from flows.alarms import switch_off, switch_on
from flows.part import told
from flows.temporary_server import free_port, healthy
from soda.common.errors import InputError
from tests.support.scratch_project import PROJECT


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[None]:
    """A server as `make server` starts it, with its services: a temporary one has no automations.

    What sends Prefect's events from this process keeps to the server that it first met, and tries a dead one for minutes an
    event: all such services are drained before another server is spoken to, and while this one still answers.
    """
    APILogWorker.drain_all(timeout=30)
    url, password = f"http://127.0.0.1:{free_port()}/api", "alarm:test"
    around = {**os.environ, "PREFECT_HOME": str(tmp_path), "PREFECT_SERVER_API_AUTH_STRING": password, "DO_NOT_TRACK": "1"}
    command = [sys.executable, "-m", "prefect", "server", "start", "--no-ui", "--host", "127.0.0.1"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", url.split(":")[2].removesuffix("/api")], env=around, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 120
        while not healthy(url):
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.1)
        with temporary_settings({PREFECT_HOME: tmp_path, PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: password}):
            yield
            APILogWorker.drain_all(timeout=30)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def heard() -> Iterator[tuple[str, queue.Queue[str]]]:
    """The example that listens: its address, and the lines that it prints."""
    process = subprocess.Popen(
        [sys.executable, str(PROJECT / "examples/alarm_receiver.py"), "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    address = process.stdout.readline().split()[-1]
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: [lines.put(line.rstrip("\n")) for line in process.stdout or ()], daemon=True).start()
    try:
        yield address, lines
    finally:
        process.terminate()
        process.wait(10)


@flow(name="a-flow")
def ends(name: str) -> State[None]:
    return Completed(message="fine") if name == "Completed" else Failed(name=name, message=f"it is {name}")


@flow(name="whole")
def whole() -> State[None]:
    part(return_state=True)
    return Failed(name="SetAside", message="the whole")


@flow(name="part")
def part() -> State[None]:
    return told(Failed(message="the part"))


def _ends_by_a_kill(lines: queue.Queue[str]) -> None:
    """Nobody is called for a run that the watch started again; for one that it gave up, and for one that was left, once each."""
    with get_client(sync_client=True) as client:
        again, given_up, left = (client.create_flow_run(ends, name=name, state=Running()).id for name in ("again", "up", "left"))
        for run, *states in (
            (again, Crashed(), AwaitingRetry(message="started again")),
            (given_up, Crashed(), Crashed(name="GivenUp", message="it is given up")),
            (left, Crashed(message="it is left")),
        ):
            for state in states:
                client.set_flow_run_state(run, state, force=True)
                time.sleep(1)  # as between the words of a worker and the looks of the watch
    said = [lines.get(timeout=90) for _ in range(8)]
    assert [line.strip() for line in (said[0], said[4])] == ["a-flow: GivenUp", "a-flow: Crashed"]
    assert said[6].strip() == "it is left"


@pytest.mark.slow
@pytest.mark.usefixtures("own_server")
def test_what_ends_badly_is_posted_and_what_ends_well_is_not(heard: tuple[str, queue.Queue[str]]) -> None:
    address, lines = heard
    assert not switch_off()
    switch_on(address)
    switch_on(address, patience=timedelta(seconds=10))  # once more: each is there once all the same
    whole(return_state=True)
    said = [lines.get(timeout=60) for _ in range(4)]
    assert said[0] == "whole: SetAside"  # and not once more for its part
    for name in ("Completed", "NotBetter", "SetAside"):
        ends(name, return_state=True)
    said = [lines.get(timeout=60) for _ in range(4)]
    assert said[0] == "a-flow: SetAside" and said[2].strip() == "it is SetAside" and "/runs/flow-run/" in said[3]
    _ends_by_a_kill(lines)
    assert switch_off()
    ends("Drift", return_state=True)
    time.sleep(3)
    assert lines.empty()


def test_an_address_is_one() -> None:
    with pytest.raises(InputError, match="http://"):
        switch_on("127.0.0.1:9000")
