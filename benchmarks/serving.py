"""`soda serve` under 16 clients against the bare session of the same threads: throughput, latency, failures, memory.

Loopback only, bounded in count and time. `python -m benchmarks --only serving --requests 100000 --seconds 300` is the long run.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil

from benchmarks.load import Plan, Tally, infer_request, load
from soda.layout import ZOO
from soda.runtime import Encoder

Figures = dict[str, tuple[float, str]]
ENCODER = ZOO / "fashion_mnist/encoder.onnx"
CLIENTS = 16
WARM_UP = 500
BARE_SECONDS = 5.0


@contextlib.contextmanager
def serving(encoder: Path, threads: int) -> Iterator[tuple[int, psutil.Process]]:
    """A service of its own on a free port: (port, process). Stopped by SIGTERM."""
    command = [sys.executable, "-m", "soda", "serve", str(encoder), "--name", "bench", "--port", "0", "--threads", str(threads)]
    process = subprocess.Popen([*command, "--drain", "0.1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"soda serve did not start (exit {process.wait(10)})")
        yield int(line.split(" (")[0].rsplit(":", 1)[1]), psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def rate(run: Callable[[], object], images: int, seconds: float) -> float:
    """Pictures a second of a call repeated for `seconds`."""
    for _ in range(20):
        run()
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        run()
        calls += 1
    return calls * images / (time.perf_counter() - start)


def drive(port: int, request: bytes, requests: int, seconds: float) -> Tally:
    """CLIENTS clients, after a warm-up that is not counted. Raises RuntimeError when a request failed."""
    asyncio.run(load(Plan("127.0.0.1", port, request, CLIENTS, WARM_UP, seconds)))
    tally = asyncio.run(load(Plan("127.0.0.1", port, request, CLIENTS, requests, seconds)))
    if tally.lost or tally.refused or tally.wrong or set(tally.statuses) != {200}:
        found = f"statuses {dict(tally.statuses)}, {tally.lost} lost, {tally.refused} refused, {tally.wrong} wrong answers"
        raise RuntimeError(f"the service failed requests: {found}")
    return tally


def measure(*, seconds: float, requests: int, encoder: Path = ENCODER, threads: int = 1) -> Figures:
    """All figures; each load takes `seconds` or `requests` at most, whichever comes first."""
    session = Encoder(encoder, threads=threads)
    side = session.image_size
    image = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    batch = np.repeat(image, CLIENTS, axis=0)
    alone = rate(lambda: session.run(image), 1, min(seconds, BARE_SECONDS))
    batched = rate(lambda: session.run(batch), CLIENTS, min(seconds, BARE_SECONDS))
    with serving(encoder, threads) as (port, process):
        drive(port, infer_request(image, "bench"), WARM_UP, seconds)
        before = process.memory_info().rss
        binary = drive(port, infer_request(image, "bench"), requests, seconds)
        after = process.memory_info().rss
        json = drive(port, infer_request(image, "bench", binary=False), requests, min(seconds, BARE_SECONDS))
    served, times = binary.answered / binary.wall, 1000 * np.asarray(binary.seconds)
    return {
        "bare session, batches of 1": (alone, "images/s"),
        f"bare session, batches of {CLIENTS}": (batched, "images/s"),
        f"server, {CLIENTS} clients, one image a request, binary": (served, "images/s"),
        "server over the bare session at batch 1": (100 * served / alone, "%"),
        f"server over the bare session at batch {CLIENTS}": (100 * served / batched, "%"),
        "server, binary: median latency": (float(np.percentile(times, 50)), "ms"),
        "server, binary: 99th percentile": (float(np.percentile(times, 99)), "ms"),
        "server, binary: requests, none failed": (binary.answered, ""),
        "server, binary: growth of memory over these": ((after - before) / (1 << 20), "MiB"),
        f"server, {CLIENTS} clients, one image a request, JSON": (json.answered / json.wall, "images/s"),
    }
