"""Runs say what they are about from when they are scheduled, and nobody's own name is taken from them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.utilities.names import generate_slug

from flows.ingest import ingest
from flows.monitor import monitor
from flows.naming import name_waiting
from flows.pipeline import pipeline
from flows.released import release as release_flow
from flows.released import rollback
from flows.run_name import is_by_lot, planned_name
from flows.tidy import tidy
from tests.support.releases import release
from tests.support.running import ENCODER


def test_names_that_prefect_draws_are_told_from_those_that_somebody_gave() -> None:
    assert all(is_by_lot(generate_slug(2)) for _ in range(500))
    assert not any(map(is_by_lot, ["my-run", "hawk", "release, avatars, default, 3f2c1ab", "ingest of a-b", ""]))


@pytest.mark.parametrize(
    ("flow", "given", "name"),
    [
        ("pipeline", {}, "fashion_mnist, default"),
        ("pipeline", {"experiment": "as before", "overrides": "train=smoke"}, "fashion_mnist, train=smoke"),
        ("pipeline", {"experiment": "avatars", "from_stage": "evaluate"}, "avatars, avatars, from evaluate"),
        ("pipeline", {"experiment": "avatars", "overrides": "train='"}, "avatars train='"),
        ("ingest", {"source": "camera", "experiment": "avatars"}, "ingest of camera, folder, avatars"),
        ("embed", {"folder": "photos"}, "embed photos, shapes v1.1.0"),
        ("monitor", {"sample": "drift/sample.npz"}, "monitor drift/sample.npz, shapes v1.1.0"),
        ("release", {"part": "minor"}, "release, fashion_mnist, default"),
        ("rollback", {"to": "v1.0.0"}, "rollback to v1.0.0, from shapes v1.1.0"),
        ("tidy", {}, "tidy, fashion_mnist, default"),
    ],
)
def test_a_name_has_data_set_experiment_and_release(flow: str, given: dict[str, Any], name: str, project: Path) -> None:
    release(project, "v1.1.0", ENCODER, dataset="shapes")
    assert planned_name(f"soda-{flow}", given, project) == name


def test_a_run_that_waits_is_named_and_a_name_of_somebodys_own_stays(project: Path, prefect_server: str) -> None:
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="names", type="process"))
        run: dict[str, Any] = {}
        for flow in (pipeline, ingest, monitor, release_flow, rollback, tidy):
            deployment = client.create_deployment(client.create_flow(flow), name="waits", work_pool_name="names")
            given = {"source": "camera"} if flow is ingest else {}
            run[flow.name] = client.create_flow_run_from_deployment(deployment, parameters=given).id
        own = client.create_flow_run_from_deployment(deployment, name="the one for Ann").id
        elsewhere = client.create_flow_run(pipeline)
        assert is_by_lot(client.read_flow_run(run["soda-pipeline"]).name)
        named = name_waiting(client, "names", project)
        assert named.keys() == set(run.values())
        assert client.read_flow_run(run["soda-pipeline"]).name == "fashion_mnist, default"
        assert client.read_flow_run(run["soda-ingest"]).name == "ingest of camera, folder"
        assert client.read_flow_run(own).name == "the one for Ann"
        assert is_by_lot(client.read_flow_run(elsewhere.id).name)
        assert name_waiting(client, "names", project) == {}


@pytest.mark.usefixtures("prefect_server")
def test_the_name_of_a_run_that_begins_says_it_too(project: Path) -> None:
    shutil.rmtree(project / "data/prepared")
    state = monitor(sample="nothing.npz", return_state=True)
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(state.state_details.flow_run_id).name == "monitor nothing.npz, no release"
