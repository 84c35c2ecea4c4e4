"""Prefect's server of a project under test: started as `make server` does it, killed, asked."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from benchmarks.chaos import processes, world
from flows.password import make_password
from flows.temporary_server import free_port, healthy


class Server:
    """One for the project `project`; `url` and `auth` are what its clients need."""

    def __init__(self, project: Path) -> None:
        self.project, port = project, free_port()
        self.port, self.url = port, f"http://127.0.0.1:{port}/api"
        self.auth = make_password(project / ".prefect")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.project / ".prefect/server.log").open("ab") as log:
            subprocess.Popen(
                [sys.executable, "-m", "flows.server", "start", str(self.port)],
                cwd=self.project, env=world.environment(self.project), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 180
        while not healthy(self.url):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.project}: no server after 180 s")
            time.sleep(0.3)

    def kill(self) -> None:
        processes.kill([each for each in processes.of(self.project) if processes.role(each) == "server"])

    def ask(self, question):  # type: ignore[no-untyped-def]
        """What `question` makes of a client of this server."""
        with (
            temporary_settings(updates={PREFECT_API_URL: self.url, PREFECT_API_AUTH_STRING: self.auth}),
            get_client(sync_client=True) as client,
        ):
            return question(client)

    def is_open(self, run: UUID) -> bool:
        """Whether the run has not ended, as far as this server knows."""

        def state(client: SyncPrefectClient) -> bool:
            try:
                known = client.read_flow_run(run).state
            except ObjectNotFound:
                return False
            return known is not None and not known.is_final()

        return bool(self.ask(state))
