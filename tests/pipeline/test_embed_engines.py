"""`soda embed` over workers of Dask or Ray: every row once, whoever made it and whoever died."""

from __future__ import annotations

import io
import os
import signal
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image
from prefect import flow

from flows.embed import embed
from flows.engines import Engine, runner_of
from flows.shared import embed_share
from soda.common.errors import InputError, NotInstalledError
from soda.release.signing import make_key
from soda.runtime import Encoder
from soda.vectors import VectorsError, pieces
from soda.vectors.job import embed_folder
from soda.vectors.shares import Share, make, missing, opened_job
from soda.vectors.store import read_vectors
from tests.support.releases import release
from tests.support.running import ENCODER

COUNT, PART = 300, 16
DASK = pytest.mark.skipif(find_spec("prefect_dask") is None, reason="prefect-dask is not installed")


def _picture(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    return [_picture(seed) for seed in range(COUNT)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, pictures: list[bytes]) -> Path:
    """COUNT small pictures in two folders, and one that cannot be read."""
    root = tmp_path_factory.mktemp("photos")
    for number, content in enumerate(pictures):
        path = root / "ab"[number % 2] / f"{number:03d}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    (root / "b/broken.png").write_bytes(b"\x89PNG")
    return root


@pytest.fixture(scope="module")
def plain(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `soda embed` makes of them in one process."""
    table = tmp_path_factory.mktemp("plain") / "v.npz"
    assert embed_folder(Encoder(ENCODER, threads=1), photos, table).pictures == COUNT
    return table


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a part ends is decided by who lists them; workers are told."""
    monkeypatch.setattr(pieces, "PART", PART)


def _embed(photos: Path, table: Path, **settings: Any) -> str:
    state = embed(str(photos), str(table), str(ENCODER), pictures=PART, return_state=True, **settings)
    assert state.is_completed(), state.message
    return str(state.message)


def _same(table: Path, plain: Path) -> None:
    found, wanted = read_vectors(table), read_vectors(plain)
    assert found.files == wanted.files and len(set(found.files)) == COUNT
    np.testing.assert_allclose(found.z, wanted.z, atol=1e-5)


@DASK
@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_one_and_two_workers_give_the_rows_of_one_process_and_a_second_run_does_nothing(
    photos: Path, plain: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    assert "300 pictures, made with" in _embed(photos, one, engine="dask", workers=1)
    message = _embed(photos, two, engine="dask", workers=2)
    assert "1 cannot be read" in message and "broken.png" in Path(message.rpartition(": ")[2]).read_text()
    _same(two, plain)
    assert one.read_bytes() == two.read_bytes()
    before = two.stat()
    (photos / "b/broken.png").rename(tmp_path / "broken.png")
    try:
        assert "300 of them as they were" in _embed(photos, two, engine="dask", workers=2)
    finally:
        (tmp_path / "broken.png").rename(photos / "b/broken.png")
    assert two.stat().st_mtime_ns == before.st_mtime_ns and not list(tmp_path.glob(".*"))


@DASK
@pytest.mark.usefixtures("prefect_server")
def test_a_worker_that_is_killed_costs_no_row(photos: Path, plain: Path, tmp_path: Path) -> None:
    table, killed = tmp_path / "v.npz", list[int]()
    work, done = tmp_path / ".v.npz.parts", threading.Event()

    def kill() -> None:
        while not done.is_set():
            if len(list(work.glob("*.npz"))) >= 3:
                for process in psutil.Process().children(recursive=True):
                    if "spawn_main" in " ".join(process.cmdline()):  # a worker of Dask
                        os.kill(process.pid, signal.SIGKILL)
                        killed.append(process.pid)
                        return
            time.sleep(0.002)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        _embed(photos, table, engine="dask", workers=2)
    finally:
        done.set()
        killer.join()
    assert len(killed) == 1, "it was done before a worker could be killed"
    _same(table, plain)


def test_a_share_is_made_again_only_where_it_is_not_whole(photos: Path, plain: Path, tmp_path: Path) -> None:
    table = tmp_path / "v.npz"
    with opened_job(ENCODER, photos, table) as job:
        left, there = missing(job, ENCODER, pictures=3 * PART)
        assert there == 0 and len(left) > 4 and sum(share.pictures for share in left) == COUNT + 1
        assert sum(map(make, left)) == 0
        written = {path: path.stat().st_mtime_ns for path in job.work.glob("*.npz")}
        assert make(left[0]) > 0 and {path: path.stat().st_mtime_ns for path in written} == written  # twice is once
        cut, gone = sorted(written)[:2]
        cut.write_bytes(cut.read_bytes()[:-50])
        gone.unlink()
        again, there = missing(job, ENCODER)
        assert len(again) == 1 and len(again[0].places) == 2 and COUNT - there in (again[0].pictures, again[0].pictures - 1)
        with pytest.raises(VectorsError, match="damaged"):
            job.finish(0)
        sum(map(make, again))
        changed = {path for path, before in written.items() if path.stat().st_mtime_ns != before}
        assert changed == {cut, gone}
        job.finish(there)
    _same(table, plain)


def test_a_worker_with_another_encoder_makes_nothing(photos: Path, tmp_path: Path) -> None:
    own = tmp_path / "encoder.onnx"
    own.write_bytes(ENCODER.read_bytes())
    with opened_job(own, photos, tmp_path / "v.npz") as job:
        left, _ = missing(job, own)
        own.write_bytes((ENCODER.parents[1] / "emoji/encoder.onnx").read_bytes())
        with pytest.raises(VectorsError, match="another encoder for this worker"):
            make(left[0])
        assert not list(job.work.glob("*.npz"))


def _tars(root: Path, pictures: list[bytes]) -> Iterator[str]:
    """Two tars of samples with a label each; gives the names of the pictures in a table."""
    root.mkdir()
    for number in range(2):
        with tarfile.open(root / f"{number:02d}.tar", "w") as tar:
            for place, content in enumerate(pictures[number::2]):
                for ending, data in (("cls", b"3"), ("png", content)):
                    member = tarfile.TarInfo(f"{place:03d}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
                yield f"{number:02d}.tar/{place:03d}.png"


def test_pictures_in_tars_are_embedded_where_they_lie(pictures: list[bytes], plain: Path, tmp_path: Path) -> None:
    names = list(_tars(tmp_path / "tars", pictures))
    table = tmp_path / "v.npz"
    with opened_job(ENCODER, tmp_path / "tars", table) as job:
        left, _ = missing(job, ENCODER, pictures=50)
        for share in reversed(left):  # in any order
            make(share)
        job.finish(0)
    found, wanted = read_vectors(table), read_vectors(plain)
    assert found.files == names
    np.testing.assert_allclose(found.z, wanted.z, atol=1e-5)  # a/ and b/ are the even and the odd ones, too
    encoder, other = Encoder(ENCODER, threads=1), tmp_path / "w.npz"
    assert embed_folder(encoder, tmp_path / "tars", other).pictures == COUNT
    assert embed_folder(encoder, tmp_path / "tars", other).kept == COUNT


def test_a_tar_that_is_cut_off_or_packed_is_named(pictures: list[bytes], tmp_path: Path) -> None:
    list(_tars(tmp_path / "tars", pictures[:20]))
    cut = tmp_path / "tars/01.tar"
    cut.write_bytes(b"\x1f\x8b" + cut.read_bytes()[2:400])
    with pytest.raises(VectorsError, match=r"01\.tar: no tar that can be read"):
        embed_folder(Encoder(ENCODER, threads=1), tmp_path / "tars", tmp_path / "v.npz")


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("engine", ["threads", "dask"])
def test_an_encoder_that_is_not_signed_by_the_key_embeds_nothing(photos: Path, tmp_path: Path, engine: Engine) -> None:
    encoder = release(tmp_path, "v1.0.0", ENCODER) / "encoder.onnx"
    table, key, other = tmp_path / "v.npz", tmp_path / "signing.key.pub", make_key(tmp_path / "other.key")
    state = embed(str(photos), str(table), str(encoder), engine=engine, verify=str(other), return_state=True)
    assert state.is_failed() and "not of the key" in str(state.message) and not table.exists()
    if engine == "threads":
        state = embed(str(photos), str(table), str(encoder), verify=str(key), return_state=True)
        assert state.is_completed() and len(read_vectors(table).files) == COUNT


def test_what_cannot_carry_the_tasks_out_is_named() -> None:
    with pytest.raises(InputError, match="workers"):
        runner_of("dask", 0)
    with pytest.raises(InputError, match="slurm"):
        runner_of("slurm", 1)  # type: ignore[arg-type]
    if find_spec("prefect_ray") is None:
        with pytest.raises(NotInstalledError, match=r"soda-encoder\[ray\]"):
            runner_of("ray", 1)


@pytest.mark.skipif(find_spec("prefect_ray") is None, reason="prefect-ray is not installed: pip install 'soda-encoder[ray]'")
@pytest.mark.usefixtures("prefect_server")
def test_ray_gives_the_same_rows(photos: Path, plain: Path, tmp_path: Path) -> None:
    _embed(photos, tmp_path / "v.npz", engine="ray", workers=2)
    _same(tmp_path / "v.npz", plain)


@pytest.mark.usefixtures("prefect_server")
def test_a_share_is_tried_again_where_the_disk_failed_and_not_where_a_person_must_act(photos: Path, tmp_path: Path) -> None:
    with opened_job(ENCODER, photos, tmp_path / "v.npz") as job:
        share = missing(job, ENCODER, pictures=PART)[0][0]
        listing = job.work / pieces.LISTING
        tried: list[str] = []

        @flow
        def run(share: Share) -> None:
            hook = lambda _task, run, _state: tried.append(str(run.run_count))  # noqa: E731
            embed_share.with_options(retry_delay_seconds=0, on_running=[hook])(share, return_state=True)

        run(replace(share, encoder=str(tmp_path / "nowhere.onnx")))
        assert len(tried) == 1
        tried.clear()
        listing.rename(tmp_path / "away")
        run(share)
        assert len(tried) == 4
        (tmp_path / "away").rename(listing)
