"""Rounds of deployments on a server and a worker, which are killed too. What systemd would start again is started again."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType

from benchmarks.chaos import processes, world
from benchmarks.chaos.by_hand import locks
from benchmarks.chaos.sameness import Undisturbed
from benchmarks.chaos.server import Server
from benchmarks.chaos.tally import Round
from flows.watch import is_engine, processes_of_runs
from flows.workspace import WORKSPACE, own_workspace

VICTIMS = ("flow", "flow", "flow", "worker", "worker and run", "server", "dvc", "stage", "everything")
LIMIT = 90.0  # seconds that a run may be called Running without a process, or wait to be started again
_PATIENCE = 600.0  # for a whole round


class Service:
    """Server, worker and deployment of the project `project`, whose stages have all run once in its workspace."""

    def __init__(self, project: Path, same: Undisturbed | None = None) -> None:
        self.project, self.same = project, same
        self.server = Server(project)
        self.workspace = project / WORKSPACE
        self._worker: subprocess.Popen[bytes] | None = None
        self._dead_since: dict[str, float] = {}
        self.longest_dead = 0.0

    def start(self) -> None:
        """Server, pool, deployment, worker: what `make server`, `make deploy` and `make worker` do."""
        own_workspace(str(self.project))
        shutil.copytree(self.project / "flows", self.workspace / "flows", dirs_exist_ok=True)  # of today, committed or not
        self.server.start()
        settings = world.environment(self.project, PREFECT_API_URL=self.server.url, PREFECT_API_AUTH_STRING=self.server.auth)
        for line in ("flows.pool", "prefect --no-prompt deploy -n pipeline"):
            subprocess.run([sys.executable, "-m", *line.split()], cwd=self.project, env=settings, check=True, capture_output=True)
        self._start_worker()

    def _start_worker(self) -> None:
        with (self.project / ".prefect/worker.log").open("ab") as log:
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "flows.worker"],
                cwd=self.project, env=world.environment(self.project), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def stop(self) -> None:
        processes.kill(processes.of(self.project))

    def round(self, done: Round, draws: random.Random, kills: int, stages: tuple[str, str], first: bool = False) -> None:
        """One run of the deployment from one stage to another, killed `kills` times. It must end Completed by itself."""
        parameters = {"from_stage": stages[0], "until_stage": stages[1], "force": not first}
        run = self._begin(parameters)
        for _ in range(kills):
            self._wait_until_at_work(run)
            time.sleep(draws.uniform(0.0, 12.0))
            victim = draws.choice(VICTIMS)
            if self._kill(victim):
                done.kill(f"service: {victim}", f"{stages[0]} to {stages[1]}")
        state = self._wait(run)
        if state == "Failed":  # a killed stage fails its run: the same again is the documented step
            state = self._wait(self._begin(parameters))
        done.wrong = [] if state == "Completed" else [f"the run ended {state}"]
        done.wrong += processes.orphans(self.project, spared=("server", "worker"))
        done.wrong += self.same.differences(self.workspace) if self.same else []
        done.wrong += locks(self.workspace) + self._left_open()
        if self.longest_dead > LIMIT:
            done.wrong.append(f"a run without a process was called Running for {self.longest_dead:.0f} s")

    def _begin(self, parameters: dict[str, Any]) -> UUID:
        def create(client: SyncPrefectClient) -> UUID:
            deployment = client.read_deployment_by_name("soda-pipeline/pipeline")
            return client.create_flow_run_from_deployment(deployment.id, parameters=parameters).id

        return UUID(str(self.server.ask(create)))

    def _state(self, run: UUID) -> tuple[str, bool]:
        try:
            state = self.server.ask(lambda client: client.read_flow_run(run).state)
        except Exception:  # the server is being started again
            return "unknown", False
        self._note(run, str(state.name))
        return str(state.name), bool(state.is_final())

    def _note(self, run: UUID, state: str) -> None:
        """How long the run has been called Running without a process of its own."""
        lives = any(map(is_engine, processes_of_runs().get(str(run), [])))
        if state != "Running" or lives:
            self._dead_since.pop(str(run), None)
            return
        since = self._dead_since.setdefault(str(run), time.monotonic())
        self.longest_dead = max(self.longest_dead, time.monotonic() - since)

    def _wait_until_at_work(self, run: UUID) -> None:
        deadline = time.monotonic() + 2 * LIMIT
        while time.monotonic() < deadline:
            name, final = self._state(run)
            if (final and name not in ("Crashed", "Killed")) or (
                name == "Running" and any(map(is_engine, processes_of_runs().get(str(run), [])))
            ):
                return
            time.sleep(0.5)

    def _wait(self, run: UUID) -> str:
        """The name of the state in which the run ended; a crashed one is given time to be started again."""
        deadline, crashed = time.monotonic() + _PATIENCE, None
        while time.monotonic() < deadline:
            name, final = self._state(run)
            crashed = (crashed or time.monotonic()) if name in ("Crashed", "Killed") else None
            if final and (crashed is None or time.monotonic() - crashed > LIMIT):
                return name
            time.sleep(1.0)
        return f"not at all within {_PATIENCE:.0f} s ({name})"

    def _kill(self, victim: str) -> bool:
        mine = processes.of(self.project)
        by_role = {
            role: [each for each in mine if processes.role(each) == role] for role in ("flow", "dvc", "stage", "worker", "server")
        }
        if victim == "server":
            chosen = by_role["server"]
        elif victim == "worker":
            chosen = by_role["worker"]
        elif victim == "worker and run":
            chosen = [each for each in mine if processes.role(each) != "server"]
        elif victim == "everything":
            chosen = mine
        else:
            chosen = by_role[victim]
        hit = bool(processes.kill(chosen))
        self._as_systemd()
        return hit

    def _as_systemd(self) -> None:
        """Restart=always after RestartSec=5, for server and worker."""
        alive = {processes.role(each) for each in processes.of(self.project)}
        if {"server", "worker"} <= alive and self._worker and self._worker.poll() is None:
            return
        time.sleep(5)
        if "server" not in alive:
            self.server.start()
        if self._worker is None or self._worker.poll() is not None:
            self._start_worker()

    def _left_open(self) -> list[str]:
        open_types = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
        chosen = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=open_types)))
        runs = self.server.ask(lambda client: client.read_flow_runs(flow_run_filter=chosen))
        return [f"run {run.name} is still {run.state_name}, and holds a slot" for run in runs]
