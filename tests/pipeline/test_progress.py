"""What Prefect shows of a training that is at work, and that the training is none the worse for it."""

from __future__ import annotations

import base64
import contextlib
import io
import socket
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from PIL import Image
from prefect import flow, get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.glimpses import Glimpse, Glimpses
from flows.pipeline import pipeline
from flows.progress import TrainingProgress
from flows.training_page import read_bar, training_markdown
from soda.common.bar import Bar
from soda.common.files import file_sha256
from soda.config import compose, write_params
from soda.layout import LIVE, PREPARED
from soda.training.checkpoint import save_checkpoint
from soda.training.curves import Curves
from tests.support.models import awake
from tests.support.prepared_factory import make_prepared
from tests.support.settings import ROOT, SMALL, make_config

ROWS = [{"images": 100.0 * i, "loss": 1 / i, "val_loss": 1.1 / i, "images_per_second": 250.0} for i in (1, 2, 3)]
GREY = "dataset.channels=1"
HEARD = "train:  42 % |########            | 4200 of 10000, 250.00img/s, loss=0.2500, 3 min left"


def _artifacts(run: Any) -> dict[str, Artifact]:
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run])))
    assert len(found) == len({artifact.key for artifact in found})  # each is changed in place
    return {str(artifact.key): artifact for artifact in found}


def _until(true: Any, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(true())


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A project whose training has saved one checkpoint and some rows. Returns its folder."""
    config = make_config(GREY)
    write_params(compose([*SMALL, GREY], ROOT / "conf"), tmp_path / "params.yaml")
    make_prepared(tmp_path / PREPARED, size=16)
    state = {"key": "k", "step": 7, "model": {}, "ema": awake(config).state_dict()}
    save_checkpoint(tmp_path / "runs/k/checkpoint.pt", state)
    with Curves(tmp_path / LIVE, ROWS):
        pass
    return tmp_path


def test_the_bar_of_the_training_is_understood_and_others_are_not() -> None:
    text = io.StringIO()
    with Bar(total=10000, initial=0, unit="img", desc="train", file=text, mininterval=0) as bar:
        bar.set_postfix(loss="0.2500", refresh=False)
        time.sleep(0.02)
        bar.update(4200)
    heard = read_bar(text.getvalue().rsplit("\r", 1)[-1])
    assert heard is not None and (heard.percent, heard.done, heard.total) == (42, "4200", "10000")
    assert "images a second" in str(heard) and heard.left.endswith("left")
    assert read_bar("embed:  42 % |##  | 42 of 100, 7.00img/s, 3 min left") is None


def test_a_checkpoint_is_drawn_by_a_process_of_its_own_and_stays_as_it_is(trained: Path) -> None:
    checkpoint = trained / "runs/k/checkpoint.pt"
    before = file_sha256(checkpoint)
    glimpses, seen = Glimpses(trained, since=0.0, pause=0.0), list[Glimpse]()
    try:
        assert _until(lambda: seen.extend(filter(None, [glimpses.look()])) or seen or glimpses.fault), "no images"
        assert not glimpses.fault, glimpses.fault
        sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(seen[0].png))))
        assert seen[0].images == 7 * make_config().train.batch_size and sheet.std() > 10
        assert glimpses.look() is None and glimpses.look() is None  # of the same checkpoint once
        checkpoint.write_bytes(b"damaged")
        assert _until(lambda: glimpses.look() or glimpses.fault)
        assert glimpses.fault  # said, and no more
    finally:
        glimpses.close()
    torch.manual_seed(0)
    save_checkpoint(checkpoint, {"key": "k", "step": 7, "model": {}, "ema": awake(make_config(GREY)).state_dict()})
    assert file_sha256(checkpoint) == before


def test_checkpoints_of_other_runs_are_not_drawn(trained: Path) -> None:
    glimpses = Glimpses(trained, since=time.time() + 60, pause=0.0)
    assert glimpses.look() is None and glimpses.look() is None and not glimpses.fault
    glimpses.close()


def test_the_page_has_rate_time_left_curves_and_images(trained: Path) -> None:
    page = training_markdown(read_bar(HEARD), trained / LIVE, Glimpse(700, "iVBORw0K"))
    assert "**42 %**: 4200 of 10000 images, 250.00 images a second, 3 min left" in page
    assert "After 700 images" in page and "data:image/png;base64,iVBORw0K" in page
    curves = [part.split(")")[0] for part in page.split("data:image/svg+xml;base64,")[1:]]
    assert len(curves) == 2 and all(b"<svg xmlns" in base64.b64decode(each) for each in curves)
    assert "| 300 | 0.3333 | 0.3667 | – | 250 |" in page
    assert training_markdown(None, trained / "nowhere", None) == "# Training"


@pytest.mark.usefixtures("prefect_server")
def test_a_bar_and_a_page_are_kept_up_to_date_while_it_trains(trained: Path) -> None:
    between = dict[str, Artifact]()

    @flow(name="trains")
    def trains() -> Any:
        with TrainingProgress(trained, get_run_logger(), every=0.1, pause=600) as progress:
            assert _until(lambda: time.sleep(0.3) or True) and _artifacts(flow_run.get_id()) == {}  # nothing is trained yet
            progress.hear(HEARD)
            assert _until(lambda: len(_artifacts(flow_run.get_id())) == 2)
            between.update(_artifacts(flow_run.get_id()))
        return flow_run.get_id()

    after = _artifacts(trains())
    assert (between["training-progress"].type, between["training-progress"].data) == ("progress", 42.0)
    assert "3 min left" in str(between["training-progress"].description) and "3 min left" in str(between["training"].data)
    assert after["training-progress"].data == 100.0 and after["training-progress"].id == between["training-progress"].id
    assert "3 min left" not in str(after["training"].data) and "data:image/svg+xml" in str(after["training"].data)


def _pass_on(door: socket.socket, address: tuple[str, int]) -> None:
    """Connections of `door` to another address, each way by a thread of its own, until it is closed."""

    def pour(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)

    with contextlib.suppress(OSError):
        while True:
            caller, _ = door.accept()
            called = socket.create_connection(address)
            for ends in ((caller, called), (called, caller)):
                threading.Thread(target=pour, args=ends, daemon=True).start()


def test_while_no_server_answers_it_goes_on_and_one_that_comes_back_is_told(trained: Path, prefect_server: str) -> None:
    server = urlsplit(prefect_server)

    @flow(name="trains-alone")
    def trains(door: socket.socket) -> None:
        run = flow_run.get_id()
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{door.getsockname()[1]}/api"}):
            progress = TrainingProgress(trained, get_run_logger(), every=0.1, pause=600)
        with progress:
            progress.hear(HEARD)
            time.sleep(0.5)
            assert _artifacts(run) == {}
            door.listen()
            threading.Thread(target=_pass_on, args=(door, (server.hostname, server.port)), daemon=True).start()
            assert _until(lambda: len(_artifacts(run)) == 2)
            progress.hear(HEARD.replace("42 %", "55 %"))
            assert _until(lambda: _artifacts(run)["training-progress"].data == 55.0)

    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))  # taken, and nobody answers
        trains(door)


@pytest.mark.usefixtures("prefect_server")
def test_the_flow_shows_a_training_and_no_other_stage(project: Path) -> None:
    (project / "misbehave").mkdir()
    (project / "misbehave/train").write_text("train")
    state = pipeline(from_stage="train", force=True, return_state=True)
    assert state.is_completed(), state.message
    shown = _artifacts(state.state_details.flow_run_id)
    assert shown["training-progress"].data == 100.0 and "## Loss" in str(shown["training"].data)
    state = pipeline(from_stage="report", force=True, return_state=True)
    assert "training" not in _artifacts(state.state_details.flow_run_id)
