"""The work pool of a project's server and its two queues, made or brought up to date: python -m flows.pool (`make deploy`).

What changes the workspace takes turns in the one queue. A way back, vectors and the watch over drift must not wait for a training
of two weeks: they need no workspace, and have a queue of their own. One worker serves both.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

POOL = "local"
QUEUES: dict[str, int | None] = {"workspace": 1, "beside": None}
"""Runs at a time; None: as many as are started. A run that waits for its turn writes no log."""
TEMPLATE = Path("deploy/work-pool.json")


def lay_out(client: SyncPrefectClient, project: Path, pool: str = POOL) -> None:
    """Make pool and queues; what is there gets this template and these limits. A pool of before had the limit itself."""
    template = json.loads((project / TEMPLATE).read_text(encoding="utf-8"))
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=template))
    client.update_work_pool(pool, WorkPoolUpdate(base_job_template=template, concurrency_limit=None))
    for name, limit in QUEUES.items():
        try:
            queue = client.read_work_queue_by_name(name, work_pool_name=pool)
        except ObjectNotFound:
            queue = client.create_work_queue(name, work_pool_name=pool)
        client.update_work_queue(queue.id, concurrency_limit=limit)


def main() -> int:
    """Returns the exit status."""
    with get_client(sync_client=True) as client:
        lay_out(client, Path.cwd())
    runs = [f"{name}: {f'{limit} run at a time' if limit else 'as many runs as are started'}" for name, limit in QUEUES.items()]
    sys.stdout.write(f"work pool {POOL}, {'; '.join(runs)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
