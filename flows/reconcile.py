"""Runs whose process was killed stay "Running" in Prefect for ever: the next run in the same workspace closes them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed, State


def close_abandoned_run(run: str) -> bool | None:
    """Mark the run with this id Crashed, with its tasks, unless it ended by itself. None: this server does not know it.

    The caller holds the workspace lock, so that the run's process is known to be gone.
    """
    state: State[Any] = Crashed(
        message="The process of this run ended without saying so; found by the next run in its workspace."
    )
    with get_client(sync_client=True) as client:
        try:
            known = client.read_flow_run(UUID(run))
        except (ObjectNotFound, ValueError):
            return None
        if known.state is not None and (known.state.is_final() or known.state.is_scheduled()):
            return False
        close_tasks(client, known.id, state)
        client.set_flow_run_state(known.id, state, force=True)
    return True


def close_tasks(client: SyncPrefectClient, run: UUID, state: State[Any]) -> None:
    """Give the tasks of a run whose process is gone that state, those that have not ended."""
    for task in client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run]))):
        if task.state is None or not task.state.is_final():
            client.set_task_run_state(task.id, state, force=True)
