"""The watch of a worker: runs whose process is gone are started again, from what they saved.

Prefect's own way is a heartbeat of each run and an automation that calls a run dead when it stays away. It calls runs dead that
live (their server was away, or they ended between two beats), and starts nothing. Here the table of processes of this machine
decides: every process of a run has the run's id in its environment, a number that was given again has not.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import AwaitingRetry, Cancelled, Crashed, State

from flows.ending import GRACE_SECONDS
from flows.lock import abandoned_run
from flows.processes import RUN_ID
from flows.reconcile import close_abandoned_run, close_tasks

logger = logging.getLogger("prefect.worker.watch")  # Prefect's loggers are those that a worker shows

WORKER = "prefect.worker.name"  # the label by which a run says whose it is
LOOK_SECONDS = 10.0
LOOKS = {StateType.PENDING: 3}  # in a row without a process before a run counts as dead; what was just claimed has none yet
_LOOKS = 2  # of all other states: a run that ends tells the server before its process goes
KILLED = "Killed"  # what is Crashed stays so for a while, and people are called when it stays for long: flows/alarms.py
MOST_STARTS = 5  # within an hour; a run that dies oftener dies of itself
_DELAYS = (0, 0, 10, 20, 40)  # seconds before each of these starts
_OPEN = (StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)


def processes_of_runs() -> dict[str, list[psutil.Process]]:
    """The living processes of this machine that work for a run of Prefect's, by its id."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and (run := process.environ().get(RUN_ID)):
                found.setdefault(run, []).append(process)
    return found


def is_engine(process: psutil.Process) -> bool:
    """Whether this is the process of the flow itself, or of what Prefect prepares it with; not a stage that it started."""
    with contextlib.suppress(psutil.Error):
        return any(part.startswith("prefect.") or part.endswith("/prefect") for part in process.cmdline()[1:5])
    return False


class Watch:
    """Looks after the runs of one worker. Call `look` now and then; it raises what Prefect's client does without a server.

    Args:
        worker: the worker's name, which holds this machine's: runs of others are none of its business.
        processes: what lives, as `processes_of_runs` gives it.
        fresh: what crashed longer ago is left alone.
    """

    def __init__(
        self,
        worker: str,
        processes: Callable[[], dict[str, list[psutil.Process]]] = processes_of_runs,
        fresh: timedelta = timedelta(days=1),
    ) -> None:
        self.worker, self._fresh = worker, fresh
        self._processes = processes
        self._missed: dict[UUID, int] = {}
        self._asked: dict[UUID, float] = {}

    def look(self, client: SyncPrefectClient) -> list[str]:
        """Returns the ids of the runs that were started again, closed or given up now."""
        runs = {run.id: run for run in self._open_runs(client)}
        living = self._processes()
        self._missed = {id: self._missed.get(id, 0) + 1 for id in runs if not any(map(is_engine, living.get(str(id), [])))}
        self._asked = {id: since for id, since in self._asked.items() if id in self._missed}
        return [str(id) for id in self._missed if self._settle(client, runs[id], living.get(str(id), []))]

    def _open_runs(self, client: SyncPrefectClient) -> Iterator[FlowRun]:
        at_work = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(_OPEN)))
        crashed = FlowRunFilterState(name=FlowRunFilterStateName(any_=["Crashed", KILLED]))
        since: Any = datetime.now(UTC) - self._fresh  # Prefect makes its own type of it
        lately = FlowRunFilterEndTime(after_=since)
        for chosen in (FlowRunFilter(state=at_work), FlowRunFilter(state=crashed, end_time=lately)):
            for run in client.read_flow_runs(flow_run_filter=chosen, limit=200):
                if run.labels.get(WORKER) == self.worker:
                    yield run

    def _settle(self, client: SyncPrefectClient, run: FlowRun, left: list[psutil.Process]) -> bool:
        assert run.state is not None
        if self._missed[run.id] < LOOKS.get(run.state.type, _LOOKS):
            return False
        if left:
            self._end(run, left)  # a stage that outlived its flow saves first
            return False
        now = client.read_flow_run(run.id).state
        if now is None or now.id != run.state.id:
            return False
        close_tasks(client, run.id, Crashed(message="The process of its run is gone."))
        if now.type == StateType.CANCELLING:
            client.set_flow_run_state(run.id, Cancelled(message="Its process is gone."), force=True)
            logger.warning("run '%s' was to be cancelled, and its process is gone: cancelled", run.name)
            return True
        if now.type != StateType.CRASHED:
            client.set_flow_run_state(run.id, Crashed(name=KILLED, message="Its process is gone, and said nothing."), force=True)
        self._start_again(client, run)
        return True

    def _start_again(self, client: SyncPrefectClient, run: FlowRun) -> None:
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        history = client.read_flow_run_states(run.id)
        starts = sum(each.name == "AwaitingRetry" and each.timestamp > hour_ago for each in history)
        if starts >= MOST_STARTS:
            message = f"Its process died, after {starts} new starts within an hour. Its log, and the kernel's, may say why."
            client.set_flow_run_state(run.id, Crashed(name="GivenUp", message=message), force=True)
            logger.error("run '%s' is given up: %s", run.name, message)
            return
        again: State[Any] = AwaitingRetry(
            scheduled_time=datetime.now(UTC) + timedelta(seconds=_DELAYS[min(starts, len(_DELAYS) - 1)]),
            message="Its process was gone; it goes on from what it saved.",
        )
        client.set_flow_run_state(run.id, again, force=True)
        logger.warning("the process of run '%s' is gone; started again", run.name)

    def _end(self, run: FlowRun, left: list[psutil.Process]) -> None:
        first = run.id not in self._asked
        patient = time.monotonic() - self._asked.setdefault(run.id, time.monotonic()) < GRACE_SECONDS
        for process in left if first or not patient else []:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGTERM if patient else signal.SIGKILL)
        if first:
            logger.warning("the process of run '%s' is gone; what it started is asked to save and end", run.name)


def watch(worker: str, project: Path) -> None:
    """Look every LOOK_SECONDS, for ever. Without a server: wait for it. A run by hand that was killed is closed, too."""
    keeper, closed = Watch(worker), set[str]()
    while True:
        time.sleep(LOOK_SECONDS)
        try:
            with get_client(sync_client=True) as client:
                keeper.look(client)
            if (run := abandoned_run(project)) and run not in closed and close_abandoned_run(run):
                logger.warning("run %s in %s was killed; it is marked as crashed", run, project)
            closed |= {run} if run else set()
        except Exception as error:  # whatever it is, the next look must come
            logger.warning("could not look after the runs (%s: %s); tried again", type(error).__name__, str(error)[:200])


def default_name() -> str:
    """A worker's name that holds this machine's, the same after a restart."""
    return f"{os.uname().nodename} local"
