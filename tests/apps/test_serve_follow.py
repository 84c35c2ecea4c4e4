"""`soda serve --follow`: another release comes into use while clients ask, and none of them notices."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from benchmarks.load import Plan, Tally, infer_request, load
from soda.monitor.sample import identity, read_sample
from soda.release.store import point_back
from soda.runtime import Encoder
from tests.support.releases import release
from tests.support.running import ENCODER, ROOT, Running

INT8 = ENCODER.with_name("encoder.int8.onnx")
Noise = Callable[..., np.ndarray]


def _serve(root: Path, *options: str) -> subprocess.Popen[str]:
    follow = ["--follow", str(root / "releases"), "--verify", str(root / "signing.key.pub"), "--port", "0", "--threads", "1"]
    command = [sys.executable, "-m", "soda", "serve", *follow, *options]
    settings = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _versions(url: str) -> list[str]:
    return list(httpx.get(f"{url}/v2/models/encoder", timeout=30).json()["versions"])


def _wait(url: str, version: str) -> float:
    begun = time.monotonic()
    while _versions(url) != [version]:
        assert time.monotonic() - begun < 30, f"still {_versions(url)}"
        time.sleep(0.05)
    return time.monotonic() - begun


def test_a_service_waits_for_the_first_release_when_it_is_told_to(tmp_path: Path) -> None:
    process = _serve(tmp_path, "--wait")
    try:
        assert process.stdout is not None
        assert "nothing is released yet" in process.stdout.readline() and process.poll() is None
        release(tmp_path, "v1.0.0", ENCODER)
        assert process.stdout.readline().startswith("serving encoder on http://127.0.0.1:")
    finally:
        process.terminate()
        process.communicate(timeout=60)
    ends = _serve(tmp_path / "elsewhere")
    assert "nothing is released yet" in ends.communicate(timeout=60)[1] and ends.returncode == 1


def test_a_release_and_a_way_back_cost_no_request(tmp_path: Path, noise: Noise) -> None:
    release(tmp_path, "v1.0.0", ENCODER)
    process = _serve(tmp_path, "--sample", str(tmp_path / "sample.npz"), "--sample-size", "50")
    try:
        assert process.stdout is not None
        running = Running(process, process.stdout.readline().split(" on ")[1].split()[0])
        assert _versions(running.url) == ["v1.0.0"]
        image, tallies = noise(1, 32, 32, 3), list[Tally]()
        plan = Plan("127.0.0.1", running.port, infer_request(image, "encoder"), clients=4, count=10**6, seconds=8)
        thread = threading.Thread(target=lambda: tallies.append(asyncio.run(load(plan))))
        thread.start()
        release(tmp_path, "v1.1.0", INT8)
        _wait(running.url, "v1.1.0")
        broken = release(tmp_path, "v1.2.0", ENCODER)  # valid when it comes into use ...
        _wait(running.url, "v1.2.0")
        point_back(tmp_path / "releases")
        assert _wait(running.url, "v1.1.0") < 10
        (broken / "encoder.onnx").write_bytes(INT8.read_bytes())  # ... and tampered with when it comes back
        point_back(tmp_path / "releases", "v1.2.0")
        time.sleep(2.5)
        assert _versions(running.url) == ["v1.1.0"]
        thread.join()
        asyncio.run(load(replace(plan, count=60)))  # for the sample, however late the last release came into use
        assert set(tallies[0].statuses) == {200} and tallies[0].answered > 20 and tallies[0].lost == tallies[0].wrong == 0
        pinned = f"{running.url}/v2/models/encoder/versions"
        assert httpx.get(f"{pinned}/v1.1.0").status_code == 200 and httpx.get(f"{pinned}/v1.0.0").status_code == 404
        assert "soda_changeovers 3.0" in httpx.get(f"{running.url}/metrics").text
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
        assert process.returncode in (0, -signal.SIGTERM) and said.count("not changed over to v1.2.0") == 1
        assert "changed since the release was made" in said
        kept = read_sample(tmp_path / "sample.npz")  # of the release in use alone, and no picture
        assert kept.encoder == identity(Encoder(INT8)) and len(kept) == 50 < kept.seen and len(kept.images) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--preprocess", "a.yaml"], "leave ENCODER and --preprocess out"), ([], "nothing is released yet")],
)
def test_what_cannot_be_followed_is_said_at_once(options: list[str], named: str, tmp_path: Path) -> None:
    process = _serve(tmp_path, *options)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and named in said and "Traceback" not in said
