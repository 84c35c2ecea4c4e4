"""A sample of what is served, for the watch over drift: kept when asked, of vectors and a few statistics a picture.

Pictures are kept only when these are asked for. The file is written now and then, and at the end. Who takes it away, as the flow
`soda-monitor` does, begins a new sample by that; a service that is started again goes on with the one that is there.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soda.monitor.keeping import earlier_sample, merged
from soda.monitor.sample import Reservoir, Sample, identity
from soda.runtime import Encoder

SECONDS = 30.0  # between two writings

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """path: of the .npz. size: rows. pictures: keep them, too."""

    path: Path
    size: int
    pictures: bool


class Sampling:
    """The sample of one service; with another encoder it begins anew."""

    _before: Sample | None

    def __init__(self, wanted: Wanted, encoder: Encoder) -> None:
        self._wanted, self._written, self._seen = wanted, False, 0
        self.begin(encoder)
        self._before, remark = earlier_sample(wanted.path, self._encoder)
        if remark:
            _log.warning("%s", remark)

    def begin(self, encoder: Encoder) -> None:
        """From here on the vectors are those of this encoder, and none of before count."""
        self._encoder = identity(encoder)
        self._empty()

    def _empty(self) -> None:
        self._before = None
        self._reservoir = Reservoir(self._wanted.size, self._encoder, keep_images=self._wanted.pictures)

    def keep(self, encoder: str, images: np.ndarray, z: np.ndarray) -> None:
        """A batch of the encoder of that identity; one that is retiring is not counted."""
        if encoder == self._encoder:
            self._reservoir.add(images, z)

    def write(self) -> None:
        """Write what is new. A disk that is full costs the sample, and no request."""
        if (self._written or self._before is not None) and not self._wanted.path.exists():
            self._empty()
            self._written = False
        reservoir = self._reservoir
        if not reservoir.seen or (self._written and reservoir.seen == self._seen):
            return
        try:
            self._seen = reservoir.seen
            merged(self._before, reservoir.sample(), self._wanted.size).save(self._wanted.path)
            self._written = True
        except OSError as error:
            _log.error("%s: the sample cannot be written (%s)", self._wanted.path, error.strerror or error)

    async def work(self) -> None:
        """Write for ever, every SECONDS."""
        while True:
            await asyncio.sleep(SECONDS)
            await asyncio.to_thread(self.write)
