"""Names for runs that wait: Prefect draws one by lot when it schedules a run, and no deployment can say otherwise. The worker
gives it a name that says what it is about, within seconds."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType

from flows.run_name import is_by_lot, planned_name
from flows.workspace import WORKSPACE

LOOK_SECONDS = 5.0
_WAITING = (StateType.SCHEDULED, StateType.PENDING)


def name_waiting(client: SyncPrefectClient, pool: str, project: Path) -> dict[UUID, str]:
    """Name the runs that wait in a work pool, but for those that somebody named. Returns the new names.

    Raises what Prefect's client does without a server.
    """
    waiting = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(_WAITING))))
    here = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    root, flows, named = project / WORKSPACE, dict[UUID, str](), dict[UUID, str]()
    root = root if root.is_dir() else project
    for run in client.read_flow_runs(flow_run_filter=waiting, work_pool_filter=here, limit=200):
        if not is_by_lot(run.name):
            continue
        flow = flows.setdefault(run.flow_id, "") or client.read_flow(run.flow_id).name
        flows[run.flow_id] = flow
        named[run.id] = planned_name(flow, run.parameters, root)
        client.set_flow_run_name(run.id, named[run.id])
    return named


def keep_naming(pool: str, project: Path) -> None:
    """Look every LOOK_SECONDS, for ever. Without a server: wait for it, which the watch says."""
    while True:
        time.sleep(LOOK_SECONDS)
        with contextlib.suppress(Exception), get_client(sync_client=True) as client:
            name_waiting(client, pool, project)
