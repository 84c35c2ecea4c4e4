"""One encoder at work in the service. The service may change over to another: what was begun with this one ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from soda.runtime import Encoder
from soda.runtime.metadata import OUTPUT
from soda.serve.batching import Batcher
from soda.serve.limits import Limits
from soda.serve.pictures import ImageDecoder

VERSION = "1"
"""Of the model, where no release has given it one."""


class Served:
    """An encoder with the queue before its session and the threads that decode for it."""

    def __init__(
        self,
        encoder: Encoder,
        limits: Limits,
        *,
        version: str = VERSION,
        observe: Callable[[int], object] = lambda count: None,
        keep: Callable[[np.ndarray, np.ndarray], object] | None = None,
    ) -> None:
        """keep: given every batch, images and z, for a sample of them."""
        self.encoder, self.version, self._keep = encoder, version, keep
        self.batcher = Batcher(
            self._run, max_batch=limits.max_batch, max_queue=limits.max_queue, delay=limits.batch_delay, observe=observe
        )
        self.decoder = ImageDecoder(size=encoder.image_size, resize=encoder.metadata["resize"], max_pixels=limits.max_pixels)
        self._users, self._unused = 0, asyncio.Event()
        self._unused.set()

    def _run(self, images: np.ndarray) -> np.ndarray:
        """All outputs side by side: (N, D + F). The features are made on the way to z and cost nothing."""
        found = self.encoder.run_outputs(images, list(self.encoder.widths))
        if self._keep is not None:
            self._keep(images, found[list(self.encoder.widths).index(OUTPUT)])
        return np.concatenate(found, axis=1)

    def output(self, rows: np.ndarray, name: str, normalize: str | None) -> np.ndarray:
        """One output of what the batcher gave."""
        start = 0
        for other, width in self.encoder.widths.items():
            if other == name:
                return self.encoder.normalized(rows[:, start : start + width], normalize, name)
            start += width
        raise KeyError(name)

    def facts(self) -> dict[str, Any]:
        """What a client is told of the model."""
        keys = ("image_size", "channels", "resize", "dataset", "data_version", "code_version", "search_vectors")
        return {key: self.encoder.metadata[key] for key in keys if key in self.encoder.metadata}

    async def start(self) -> None:
        size = self.encoder.image_size
        await asyncio.to_thread(self.encoder.run, np.zeros((1, size, size, 3), np.uint8))  # the first run is slow
        self.batcher.start()

    @contextmanager
    def used(self) -> Iterator[None]:
        """While a request is at work with it, it does not end."""
        self._users += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def stop(self) -> None:
        """End when nobody uses it any more. Nobody new may come to it meanwhile."""
        await self._unused.wait()
        await self.batcher.stop()
        self.decoder.stop()
