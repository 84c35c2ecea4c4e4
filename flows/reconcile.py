"""Runs whose process was killed stay "Running" in Prefect for ever: the next run in the same workspace closes them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed, State


def close_abandoned_run(run: str) -> bool:
    """Mark the run with this id Crashed, with its tasks, unless it ended by itself or this server never knew it.

    The caller holds the workspace lock that the run never gave back, so that its process is known to be gone.
    """
    state: State[Any] = Crashed(message="The process of this run was killed; found by the next run in its workspace.")
    with get_client(sync_client=True) as client:
        try:
            known = client.read_flow_run(UUID(run))
        except (ObjectNotFound, ValueError):
            return False
        if known.state is not None and known.state.is_final():
            return False
        for task in client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[known.id]))):
            if task.state is None or not task.state.is_final():
                client.set_task_run_state(task.id, state, force=True)
        client.set_flow_run_state(known.id, state, force=True)
    return True
