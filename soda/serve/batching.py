"""Dynamic batching: requests that come together run together in the one session.

While the session works on a batch, what arrives in the meantime piles up and makes the next one, so under load batches form
without anybody waiting for a clock, and the session never rests. `delay` lets a batch wait for its fellows besides, which pays
where a run costs nearly the same whatever its size (a GPU). On a CPU it costs: all clients then wait for one batch, and the
session for all of them. It is waited only right after requests came together; a lone client never waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from soda.serve.refusal import busy

Run = Callable[[np.ndarray], np.ndarray]
"""uint8 (N, S, S, 3) -> float32 (N, D); called from one thread at a time."""


@dataclass
class _Waiting:
    images: np.ndarray  # (n, S, S, 3)
    answer: asyncio.Future[np.ndarray]


class Batcher:
    """Collects requests and runs them. `start` and `stop` belong to the event loop in which `submit` is awaited.

    max_batch: pictures of one run; a request of more runs in parts. max_queue: pictures waiting or running before `reserve`
    refuses. observe: told the number of pictures of every run.
    """

    def __init__(
        self, run: Run, *, max_batch: int, max_queue: int, delay: float, observe: Callable[[int], object] = lambda count: None
    ) -> None:
        self._run, self._max_batch, self._max_queue, self._delay, self._observe = run, max_batch, max_queue, delay, observe
        self._queue: deque[_Waiting] = deque()
        self._arrived, self._full = asyncio.Event(), asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="session")
        self._task: asyncio.Task[None] | None = None
        self.reserved = 0

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """Answer what is waiting, then end."""
        while self._queue:
            await asyncio.sleep(0.01)
        if self._task is not None:
            self._task.cancel()
        self._thread.shutdown(wait=True)

    def reserve(self, count: int) -> None:
        """Make room for `count` pictures, given back with `release`. Raises Refusal (503) where there is none."""
        if self.reserved and self.reserved + count > self._max_queue:
            raise busy(f"{self.reserved} pictures are waiting already; try again in a moment")
        self.reserved += count

    def release(self, count: int) -> None:
        self.reserved -= count

    async def submit(self, images: np.ndarray) -> np.ndarray:
        """(n, S, S, 3) uint8, the same S for all -> z (n, D). Raises what the session raises, for this request alone."""
        waiting = _Waiting(images, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._arrived.set()
        if len(self._queue) >= self._max_batch:
            self._full.set()
        return await waiting.answer

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        together = False
        while True:
            await self._arrived.wait()
            if together and self._delay and len(self._queue) < self._max_batch:
                self._full.clear()
                # A timer and not wait_for: cheaper, and who cancels this task cancels the wait.
                timer = loop.call_later(self._delay, self._full.set)
                await self._full.wait()
                timer.cancel()
            batch = self._take()
            if not self._queue:
                self._arrived.clear()
            if batch:
                together = len(batch) > 1 or bool(self._queue)
                await self._answer(batch)

    def _take(self) -> list[_Waiting]:
        """The next requests, in order, up to `max_batch` pictures; those that nobody awaits any more are dropped.

        Without a delay half of those that wait stay for the next run: they keep the session busy while these are answered and
        their clients ask again. Else clients that ask together go on in step, and session and event loop wait for each other.
        """
        batch: list[_Waiting] = []
        count, stay = 0, 0 if self._delay else len(self._queue) // 2
        while len(self._queue) > stay and (not batch or count + len(self._queue[0].images) <= self._max_batch):
            waiting = self._queue.popleft()
            if not waiting.answer.done():
                batch.append(waiting)
                count += len(waiting.images)
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        images = [waiting.images for waiting in batch]
        try:
            z = await loop.run_in_executor(self._thread, self._run_parts, images)
        except Exception as error:
            if len(batch) > 1:  # one bad request must not fail its fellows
                for waiting in batch:
                    await self._answer([waiting])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        start = 0
        for waiting in batch:
            rows = z[start : start + len(waiting.images)]
            start += len(waiting.images)
            if not waiting.answer.done():
                waiting.answer.set_result(rows)

    def _run_parts(self, images: list[np.ndarray]) -> np.ndarray:
        together = images[0] if len(images) == 1 else np.concatenate(images)
        parts = [together[i : i + self._max_batch] for i in range(0, len(together), self._max_batch)]
        for part in parts:
            self._observe(len(part))
        return self._run(parts[0]) if len(parts) == 1 else np.concatenate([self._run(part) for part in parts])
