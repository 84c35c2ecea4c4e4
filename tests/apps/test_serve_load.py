"""Under load: batches, back-pressure, and an end on SIGTERM that loses no accepted request."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

import httpx
import numpy as np
import psutil
import pytest

from benchmarks.load import Plan, Tally, infer_request, load
from soda.runtime import Encoder
from soda.serve.batching import Batcher
from soda.serve.refusal import Refusal
from soda.serve.server import listen, make_no_more
from tests.support.running import MODEL, Running, serve

Noise = Callable[..., np.ndarray]


def test_sixteen_clients_share_batches(service: Running, encoder: Encoder, noise: Noise) -> None:
    image = noise(1, 32, 32, 3)
    request = infer_request(image, MODEL)
    tally = asyncio.run(load(Plan("127.0.0.1", service.port, request, clients=16, count=800, seconds=20)))
    assert set(tally.statuses) == {200} and tally.answered >= 800 and tally.lost == tally.wrong == 0
    lines = dict(line.rsplit(" ", 1) for line in httpx.get(f"{service.url}/metrics").text.splitlines() if line[0] != "#")
    assert float(lines["soda_batch_pictures_sum"]) > 1.5 * float(lines["soda_batch_pictures_count"])


def test_back_pressure_is_a_503_with_retry_after(noise: Noise) -> None:
    with serve("--max-queue", "8") as running:
        request = infer_request(noise(4, 300, 300, 3), MODEL)
        tally = asyncio.run(load(Plan("127.0.0.1", running.port, request, clients=24, count=200, seconds=20)))
        assert set(tally.statuses) == {200, 503} and tally.lost == 0
        assert httpx.get(f"{running.url}/v2/health/ready").status_code == 200


def test_bad_clients_do_not_harm_good_ones(service: Running, noise: Noise) -> None:
    request, tallies = infer_request(noise(1, 32, 32, 3), MODEL), []
    plan = Plan("127.0.0.1", service.port, request, clients=8, count=10**6, seconds=5)
    thread = threading.Thread(target=lambda: tallies.append(asyncio.run(load(plan))))
    before = psutil.Process(service.process.pid).memory_info().rss
    thread.start()
    slow = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(30)]
    for number, connection in enumerate(slow):
        connection.sendall(request[: 20 + 40 * number])  # some stop in the head, some in the body
    large = os.urandom(1 << 20) * 60
    with httpx.Client(base_url=service.url, timeout=30) as client:
        for _ in range(3):
            assert client.post("/embed", files={"f": ("large.png", large)}).status_code == 413
            assert client.post("/embed", files={"f": ("broken.png", b"\x89PNG\r\n\x1a\n" + large[:5000])}).status_code == 422
            assert client.post(f"/v2/models/{MODEL}/infer", content=b"[" * 5000).status_code == 400
            with socket.create_connection(("127.0.0.1", service.port)) as half:
                half.sendall(request[:-50])
    thread.join(30)
    for connection in slow:
        connection.close()
    [tally] = tallies
    assert set(tally.statuses) == {200} and tally.lost == tally.refused == 0 and tally.answered > 100
    assert psutil.Process(service.process.pid).memory_info().rss < before + (60 << 20)


def test_sigterm_under_load_loses_no_accepted_request(noise: Noise) -> None:
    with serve("--drain", "3") as running:
        request = infer_request(noise(1, 32, 32, 3), MODEL)
        tallies: list[Tally] = []

        def work() -> None:
            tallies.append(asyncio.run(load(Plan("127.0.0.1", running.port, request, clients=16, count=10**6, seconds=30))))

        # A client that is half way through its upload when the signal comes, and one that has only just connected.
        half = socket.create_connection(("127.0.0.1", running.port), timeout=20)
        half.sendall(request[:-100])
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(1.0)
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        ready = httpx.get(f"{running.url}/v2/health/ready")
        assert ready.status_code == 503 and ready.headers["connection"] == "close"
        half.sendall(request[-100:])
        assert half.recv(1 << 16).startswith(b"HTTP/1.1 200")
        thread.join(30)
        assert running.process.wait(20) in (0, -signal.SIGTERM)
    [tally] = tallies
    assert tally.refused == 16, "every client must have been told that there is no service any more"
    assert set(tally.statuses) == {200} and tally.answered > 50
    assert tally.lost == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has socket filters")
def test_between_the_last_accept_and_the_end_nobody_is_let_in_and_then_reset() -> None:
    listener = listen("127.0.0.1", 0)
    address = listener.getsockname()
    with socket.create_connection(address) as early:
        make_no_more(listener)
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.3)
        accepted, _ = listener.accept()
        listener.close()
        early.sendall(b"still here")
        assert accepted.recv(100) == b"still here"
        accepted.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)


def run_batches(images: list[np.ndarray], run: Callable[[np.ndarray], np.ndarray], **settings: int) -> list[object]:
    """All at once through a Batcher of its own."""

    async def work() -> list[object]:
        batcher = Batcher(run, **({"max_batch": 4, "max_queue": 100, "delay": 0.01} | settings))
        batcher.start()
        answers = await asyncio.gather(*map(batcher.submit, images), return_exceptions=True)
        await batcher.stop()
        return answers

    return asyncio.run(work())


def means(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).mean(1, keepdims=True).astype(np.float32)


def test_batches_hold_no_more_than_they_may(noise: Noise) -> None:
    seen: list[tuple[int, ...]] = []

    def run(images: np.ndarray) -> np.ndarray:
        seen.append(images.shape)
        return means(images)

    images = [noise(1 + i % 2, 4, 4, 3, seed=i) for i in range(30)] + [noise(11, 4, 4, 3)]
    for answer, given in zip(run_batches(images, run), images, strict=True):
        np.testing.assert_allclose(answer, means(given))
    assert max(shape[0] for shape in seen) <= 4 and sum(shape[0] for shape in seen) == sum(map(len, images))
    assert len(seen) < len(images)


def test_half_of_those_that_wait_stay_for_the_next_run_unless_batches_are_to_fill() -> None:
    sizes: list[int] = []

    def run(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        return means(images)

    run_batches([np.zeros((1, 4, 4, 3), np.uint8)] * 8, run, max_batch=8, delay=0)
    assert sizes == [4, 2, 1, 1]
    sizes.clear()
    run_batches([np.zeros((1, 4, 4, 3), np.uint8)] * 8, run, max_batch=8, delay=1)
    assert sizes == [8]


def test_a_request_that_fails_fails_alone(noise: Noise) -> None:
    def run(images: np.ndarray) -> np.ndarray:
        if (images == 7).all(axis=(1, 2, 3)).any():
            raise RuntimeError("a picture of sevens")
        return means(images)

    images = [noise(1, 4, 4, 3, seed=i) for i in range(8)]
    images[3] = np.full((1, 4, 4, 3), 7, np.uint8)
    answers = run_batches(images, run, max_batch=8)
    assert isinstance(answers[3], RuntimeError)
    assert all(isinstance(answer, np.ndarray) for i, answer in enumerate(answers) if i != 3)


def test_the_queue_takes_no_more_than_it_may() -> None:
    batcher = Batcher(means, max_batch=4, max_queue=10, delay=0)
    batcher.reserve(64)  # a large request alone is not refused for ever
    batcher.release(64)
    batcher.reserve(8)
    with pytest.raises(Refusal) as refused:
        batcher.reserve(3)
    assert refused.value.status == 503 and refused.value.headers["retry-after"] == "1"
    batcher.reserve(2)
