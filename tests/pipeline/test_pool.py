"""The pool's two queues on a real server: what works in the workspace takes turns, a way back does not wait for it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import yaml
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.states import Running

from flows.pool import QUEUES, TEMPLATE, lay_out
from tests.support.scratch_project import PROJECT

DECLARED: dict[str, Any] = yaml.safe_load((PROJECT / "prefect.yaml").read_text())
TAKES_THE_WORKSPACE = {"pipeline", "nightly", "ingest", "release", "tidy"}


@flow
def anything() -> None:
    """What the deployments here deploy."""


def _ordered(client: SyncPrefectClient, pool: str, queue: str) -> uuid.UUID:
    """A run of a new deployment in that queue, to be started now."""
    deployment = client.create_deployment(
        client.create_flow(anything), uuid.uuid4().hex, work_pool_name=pool, work_queue_name=queue, entrypoint="x.py:y"
    )
    return client.create_flow_run_from_deployment(deployment).id


def _offered(client: SyncPrefectClient, pool: str) -> set[uuid.UUID]:
    """The runs that a worker of the pool would start now."""
    return {each.flow_run.id for each in client.get_scheduled_flow_runs_for_work_pool(pool)}


def test_one_run_at_a_time_works_in_the_workspace_and_a_way_back_does_not_wait_for_it(prefect_server: str) -> None:
    pool = f"pool-{uuid.uuid4().hex}"
    with get_client(sync_client=True) as client:
        lay_out(client, PROJECT, pool)
        client.update_work_pool(pool, WorkPoolUpdate(concurrency_limit=1))  # as it was before there were queues
        lay_out(client, PROJECT, pool)
        assert client.read_work_pool(pool).concurrency_limit is None
        assert {name: client.read_work_queue_by_name(name, pool).concurrency_limit for name in QUEUES} == QUEUES
        training = _ordered(client, pool, "workspace")
        assert _offered(client, pool) == {training}
        client.set_flow_run_state(training, Running(), force=True)
        waits, back = _ordered(client, pool, "workspace"), _ordered(client, pool, "beside")
        assert _offered(client, pool) == {back}
        client.set_flow_run_state(back, Running(), force=True)
        more = _ordered(client, pool, "beside")
        assert _offered(client, pool) == {more} and client.read_flow_run(waits).state_name == "Scheduled"


@pytest.mark.parametrize("deployment", DECLARED["deployments"], ids=lambda each: each["name"])
def test_a_deployment_waits_for_its_turn_where_its_flow_takes_the_workspace(deployment: dict[str, Any]) -> None:
    queue = deployment["work_pool"]["work_queue_name"]
    assert queue in QUEUES and (queue == "workspace") == (deployment["name"] in TAKES_THE_WORKSPACE)
    assert deployment["work_pool"]["name"] == "local" and (PROJECT / TEMPLATE).is_file()
