"""How long torch and onnxruntime take for a batch, on the same cores."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from soda.export.graph import DeployedEncoder
from soda.runtime import Encoder

BATCHES = (1, 64)
_REPEATS = 7
_SECONDS = 2.0  # after which no further repeat is begun


@torch.inference_mode()
def measure_speed(encoder: Encoder, module: DeployedEncoder) -> dict[str, float]:
    """Median milliseconds a batch of pictures of S x S: torch_ms_1, onnx_ms_1, torch_ms_64, onnx_ms_64.

    Eager torch against the exported graph, both with the preprocessing. Build `encoder` with torch's number of threads. Torch is
    timed with these and with one, and the faster counts: where waiting threads sleep, as in all of our commands, waking one for
    each operation costs more than it brings in small batches, which would be held against torch.
    """
    result = {}
    for batch in BATCHES:
        call = partial(module, torch.from_numpy(_images(encoder, batch)))
        result[f"torch_ms_{batch}"] = min(_milliseconds(call), _on_one_thread(call))
        result[f"onnx_ms_{batch}"] = measure_batch(encoder, batch)
    return result


def measure_batch(encoder: Encoder, batch: int) -> float:
    """Median milliseconds of the exported graph for `batch` pictures of S x S."""
    return _milliseconds(partial(encoder.run, _images(encoder, batch)))


def _on_one_thread(call: Callable[[], object]) -> float:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _milliseconds(call)
    finally:
        torch.set_num_threads(threads)


def _images(encoder: Encoder, batch: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (batch, encoder.image_size, encoder.image_size, 3), dtype=np.uint8)


def _milliseconds(call: Callable[[], object]) -> float:
    call()
    times: list[float] = []
    while len(times) < _REPEATS and sum(times) < _SECONDS:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return round(1000 * statistics.median(times), 3)
