"""The deployments of prefect.yaml: what their forms offer, and the flows beside the pipeline."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from dvc.repo import Repo
from PIL import Image

from flows.embed import embed
from flows.form import experiments
from flows.incoming import Batch, Incoming
from flows.ingest import ingest
from flows.lock import workspace_lock
from flows.monitor import monitor
from flows.pipeline import pipeline
from flows.released import release as release_flow
from flows.released import rollback
from soda.common.errors import InputError
from soda.config import PARAMS_FILE, load
from soda.config.chosen import chosen_overrides
from soda.monitor.sample import identity, read_sample, sample_of
from soda.runtime import Encoder
from soda.vectors.store import read_vectors
from tests.support.releases import release
from tests.support.running import ENCODER
from tests.support.scratch_project import ORDER, PROJECT

DECLARED: dict[str, Any] = yaml.safe_load((PROJECT / "prefect.yaml").read_text())
Ran = Callable[[], list[str]]


def _flow(deployment: dict[str, Any]) -> Any:
    module, _, name = deployment["entrypoint"].partition(":")
    return getattr(import_module(module.removesuffix(".py").replace("/", ".")), name)


@pytest.mark.parametrize("deployment", DECLARED["deployments"], ids=lambda each: each["name"])
def test_every_deployment_takes_the_parameters_that_it_is_declared_with(deployment: dict[str, Any]) -> None:
    flow, given = _flow(deployment), deployment.get("parameters", {})
    offered = flow.parameters.model_dump()["properties"]
    assert set(given) <= set(offered)
    for name, value in given.items():
        assert value in offered[name].get("enum", [value]), f"{deployment['name']}: {name}"
    assert all(about["description"] for about in offered.values())


def test_a_form_lists_the_projects_own_experiments_and_stages(tmp_path: Path) -> None:
    offered = pipeline.parameters.model_dump()["properties"]
    assert offered["experiment"]["enum"] == ["as before", *experiments()] and "fashion_mnist_long" in experiments()
    assert offered["from_stage"]["enum"] == ["the first", *ORDER] and offered["until_stage"]["enum"] == ["the last", *ORDER]
    (tmp_path / "conf/experiment").mkdir(parents=True)
    (tmp_path / "conf/experiment/mine.yaml").touch()
    assert experiments(tmp_path) == ["mine"]


def test_only_what_is_off_until_switched_on_runs_by_the_clock() -> None:
    clocks = [schedule for each in DECLARED["deployments"] for schedule in each.get("schedules", [])]
    assert [clock["active"] for clock in clocks] == [False, False]


@pytest.mark.usefixtures("prefect_server")
def test_an_experiment_is_chosen_below_the_overrides_and_a_run_may_end_early(project: Path, ran: Ran) -> None:
    chosen = {"experiment": "random_objects", "overrides": "model.latent_dim=96", "until_stage": "validate"}
    state = pipeline(**chosen, return_state=True)
    assert state.is_completed(), state.message
    assert ran() == ORDER[:3]
    config = load(project / PARAMS_FILE)
    assert (config.dataset.name, config.model.latent_dim) == ("random_objects", 96)
    state = pipeline(from_stage="train", until_stage="validate", return_state=True)
    assert state.is_failed() and "until_stage" in str(state.message)


def _picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(path)


@pytest.mark.usefixtures("prefect_server")
def test_new_pictures_are_gated_before_training_and_a_bad_batch_is_set_aside(project: Path, ran: Ran, tmp_path: Path) -> None:
    source, into = tmp_path / "camera", project / "data/incoming"
    _picture(source / "a/1.png", 1)
    taken: dict[str, Any] = {"source": str(source), "release": False, "return_state": True}
    state = ingest(**taken)
    assert state.is_completed(), state.message
    before = ran()
    assert before[:4] == ORDER[:4] and (into / "a/1.png").read_bytes() == (source / "a/1.png").read_bytes()
    assert load(project / PARAMS_FILE).dataset.path == str(into)
    assert ingest(**taken).message.endswith("nothing new") and ran() == before

    _picture(source / "a/1.png", 2)  # other pixels under a known name
    _picture(source / "b/2.png", 3)
    (project / "misbehave").mkdir()
    (project / "misbehave/validate").write_text("fail")
    (project / "soda/code-validate").write_text("the stand-in's data are the same, whatever came")
    first = (into / "a/1.png").read_bytes()
    state = ingest(**taken)
    assert state.name == "SetAside" and "2 new pictures" in str(state.message)
    assert (into / "a/1.png").read_bytes() == first and not (into / "b/2.png").exists()
    aside = project / "data/incoming.rejected/0001"
    assert (aside / "b/2.png").exists() and "test-17" in (aside / "why.txt").read_text()
    assert "train" not in ran()[len(before) :]

    (project / "misbehave/validate").unlink()
    assert ingest(**taken).message.endswith("nothing new")
    before = ran()
    _picture(source / "b/3.png", 4)
    state = ingest(**taken)
    assert state.is_completed() and (into / "b/3.png").exists(), state.message
    assert "is what was trained on" in str(state.message)  # the stand-in's data are always of one version
    assert "train" not in ran()[len(before) :]


@pytest.mark.usefixtures("prefect_server")
def test_a_training_that_failed_is_made_up_for_where_nothing_is_new(project: Path, ran: Ran, tmp_path: Path) -> None:
    source = tmp_path / "camera"
    _picture(source / "a/1.png", 1)
    taken: dict[str, Any] = {"source": str(source), "release": False, "return_state": True}
    (project / "misbehave").mkdir()
    (project / "misbehave/train").write_text("fail")
    assert ingest(**taken).is_failed()
    (project / "misbehave/train").unlink()
    state = ingest(**taken)
    assert state.is_completed() and "made up for" in str(state.message) and ran()[-1] == "report"
    assert ingest(**taken).message.endswith("nothing new")


@pytest.mark.usefixtures("prefect_server")
def test_files_that_the_preparation_cannot_use_are_set_aside(project: Path, tmp_path: Path) -> None:
    source = tmp_path / "camera"
    _picture(source / "a/1.png", 1)
    (project / "misbehave").mkdir()
    (project / "misbehave/prepare").write_text("fail")
    taken: dict[str, Any] = {"source": str(source), "release": False, "return_state": True}
    assert ingest(**taken).name == "Failed" and (project / "data/incoming/a/1.png").exists()  # no word of files
    rejected = project / "data/prepared.rejected.csv"
    rejected.write_text("file,reason\na/1.png,truncated\n")
    os.utime(rejected, (time.time() + 60, time.time() + 60))
    assert ingest(**taken).name == "SetAside" and not (project / "data/incoming/a/1.png").exists()


def test_a_file_that_is_too_large_is_left_out_and_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.incoming.MOST_BYTES", 1000)
    _picture(tmp_path / "camera/1.png", 1)
    (tmp_path / "camera/2.png").write_bytes(bytes(1001))
    incoming = Incoming(str(tmp_path / "camera"), tmp_path / "in")
    batch = incoming.fetch()
    assert batch.names == ("1.png",) and "2.png: 1,001 bytes are more than 1,000" in batch.refused[0]
    assert incoming.refused_list.read_text().strip() == batch.refused[0] and not (tmp_path / "in/2.png").exists()
    incoming.settle()
    assert incoming.fetch() == Batch((), 0)


@pytest.mark.usefixtures("prefect_server")
def test_pictures_are_trained_on_as_before(project: Path, tmp_path: Path) -> None:
    _picture(tmp_path / "camera/1.png", 1)
    before = {"experiment": "random_objects", "overrides": "model.latent_dim=96 train.batch_size=32", "until_stage": "fetch"}
    assert pipeline(**before, return_state=True).is_completed()
    state = ingest(str(tmp_path / "camera"), release=False, overrides="train.batch_size=16", return_state=True)
    assert state.is_completed(), state.message
    assert chosen_overrides(project) == [
        "experiment=random_objects", "model.latent_dim=96", "dataset=folder", f"dataset.path={project / 'data/incoming'}",
        "train.batch_size=16",
    ]  # fmt: skip


def test_pictures_come_from_a_dvc_repository_and_from_any_address(tmp_path: Path) -> None:
    import fsspec

    origin = tmp_path / "origin"
    _picture(origin / "photos/1.png", 1)
    Repo.init(str(origin), no_scm=True).close()
    with Repo(str(origin)) as repo:
        repo.add(str(origin / "photos"))
    shutil.rmtree(origin / "photos")  # it is in DVC's cache alone
    into = tmp_path / "in"
    batch = Incoming("photos", into, str(origin)).fetch()
    assert batch.names == ("1.png",) and Image.open(into / "1.png").size == (8, 8)
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/x/2.png", b"bytes")
    assert Incoming("memory://bucket", tmp_path / "other").fetch().names == ("x/2.png",)
    with pytest.raises(InputError, match="cannot be read"):
        Incoming("nonsense://bucket", into)


@pytest.mark.parametrize("name", ["../up.png", "/etc/passwd", "a/../../up.png", "a\\..\\up.png"])
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    from flows.incoming import below

    with pytest.raises(InputError, match="leads out"):
        below(f"bucket/{name}" if not name.startswith("/") else name, "bucket")
    assert below("bucket/a/1.png", "bucket") == "a/1.png" and below("bucket/1.png", "bucket/1.png") == "1.png"


@pytest.mark.usefixtures("prefect_server")
def test_a_folder_is_embedded_with_the_released_encoder(project: Path) -> None:
    for seed in range(3):
        _picture(project / f"photos/{seed}.png", seed)
    state = embed("photos", return_state=True)
    assert state.is_failed() and "nothing is released yet" in str(state.message)
    release(project, "v1.0.0", ENCODER)
    state = embed("photos", return_state=True)
    assert state.is_completed() and "releases/v1.0.0" in str(state.message)
    assert len(read_vectors(project / "photos.parquet").files) == 3
    state = embed("nowhere", return_state=True)
    assert state.is_failed() and "no such folder" in str(state.message)


@pytest.mark.usefixtures("prefect_server")
def test_drift_is_a_run_of_that_name_and_a_sample_is_taken_away(project: Path) -> None:
    release(project, "v1.0.0", ENCODER)
    encoder, drift = identity(Encoder(ENCODER)), project / "drift"
    drift.mkdir()
    random, reference = np.random.default_rng(0), drift / "reference-v1.0.0.npz"
    sample_of(random.standard_normal((300, 8)), encoder).save(reference)
    sample_of(random.standard_normal((100, 8)) + 3, encoder).save(drift / "sample.npz")
    state = monitor(return_state=True)
    assert state.name == "Drift" and "embedding" in str(state.message)
    assert not (drift / "sample.npz").exists() and len(list(drift.glob("sample-*.html"))) == 1

    state = monitor(return_state=True)
    assert state.is_completed() and state.name == "NothingSeen" and "soda serve --sample" in str(state.message)
    few = sample_of(random.standard_normal((49, 8)), encoder)
    few.save(drift / "sample.npz")
    state = monitor(return_state=True)
    assert state.is_completed() and state.name == "TooFew" and "50 or more" in str(state.message)
    assert len(read_sample(drift / "sample.npz")) == 49  # it goes on growing
    sample_of(random.standard_normal((90, 8)), "another").save(drift / "sample.npz")
    state = monitor(return_state=True)
    assert state.is_completed() and state.name == "OtherEncoder" and not (drift / "sample.npz").exists()
    assert len(read_sample(next(drift.glob("sample-aside-*.npz")))) == 90

    sample_of(random.standard_normal((90, 8)), encoder).save(drift / "sample.npz")
    before = set(drift.iterdir())
    state = monitor(rate=2.0, return_state=True)
    assert state.is_failed() and "rate" in str(state.message) and set(drift.iterdir()) == before
    reference.unlink()
    with workspace_lock(project, "a training"):
        state = monitor(return_state=True)
    assert state.is_completed() and state.name == "Postponed" and (drift / "sample.npz").exists()


@pytest.mark.usefixtures("prefect_server")
def test_what_cannot_be_released_or_gone_back_to_is_said_by_the_run(project: Path) -> None:
    state = release_flow(return_state=True)  # the stand-in's model is no model
    assert state.is_failed() and "soda release failed: " in str(state.message) and "models/soda" in str(state.message)
    release(project, "v1.0.0", ENCODER)
    state = rollback(return_state=True)
    assert state.is_failed() and "no release before v1.0.0" in str(state.message)
    assert not (project / "releases/v1.1.0").exists()
