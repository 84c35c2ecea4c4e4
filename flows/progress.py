"""What a person sees in Prefect while a stage trains: a progress bar, and a page with curves and images, both kept up to date.

A thread of the flow's process does it, from what the stage prints and writes anyway: the training knows nothing of it and never
waits for it. Without a server nothing is lost: the next look tells one that is back the state of then.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.runtime import flow_run, task_run

from flows.glimpses import PAUSE, Glimpse, Glimpses
from flows.training_page import Heard, read_bar, training_markdown
from soda.layout import LIVE

LOOK_SECONDS = 10.0
PAGE_SECONDS = 60.0  # between two pages on which nothing but the bar has moved
BAR, PAGE = "training-progress", "training"
_PATIENCE = {True: 10.0, False: 1.0}  # seconds for the last look, after a stage that ended well, and after any other


class _Kept:
    """One artifact that is changed in place: a new one for each look would fill the database."""

    def __init__(self, key: str, kind: str) -> None:
        self._key, self._kind = key, kind
        self._id: str | None = None
        self._said: tuple[Any, str] | None = None
        self._run: dict[str, Any] = {"flow_run_id": flow_run.get_id(), "task_run_id": task_run.get_id()}

    def say(self, client: SyncPrefectClient, data: Any, description: str) -> None:
        """Raises what Prefect's client does without a server; the next call says it then."""
        if self._said == (data, description):
            return
        if self._id is None:
            create = ArtifactCreate(key=self._key, type=self._kind, data=data, description=description, **self._run)
            self._id = str(client.create_artifact(create).id)
        else:
            # Not client.update_artifact, which besides keeps an event with all that the artifact holds, each time.
            change = {"data": data, "description": description}
            client.request("PATCH", "/artifacts/{id}", json=change, path_params={"id": self._id})
        self._said = (data, description)


class TrainingProgress:
    """A context manager around the train stage, within its task; `hear` takes the texts of its progress bar.

    Args:
        root: the project.
        every: seconds between two looks.
        pause: seconds between two sheets of images.
    """

    def __init__(
        self,
        root: Path,
        log: logging.Logger | logging.LoggerAdapter[Any],
        every: float = LOOK_SECONDS,
        pause: float = PAUSE,
    ) -> None:
        self._live, self._log, self._every = root / LIVE, log, every
        self._glimpses = Glimpses(root, time.time(), pause)
        self._bar, self._page = _Kept(BAR, "progress"), _Kept(PAGE, "markdown")
        self._heard: Heard | None = None
        self._seen: Glimpse | None = None
        self._made_of: Any = None  # the page that is shown
        self._made_at = float("-inf")
        self._end = threading.Event()
        self._went_well = False
        context = contextvars.copy_context()  # which server it is stands there
        self._thread = threading.Thread(target=context.run, args=(self._work,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._went_well = kind is None
        self._end.set()
        self._thread.join(_PATIENCE[self._went_well])

    def hear(self, text: str) -> None:
        """A text of a progress bar; others than the training's are let go by."""
        self._heard = read_bar(text) or self._heard

    def _work(self) -> None:
        told = ""
        try:
            while not self._end.wait(self._every):
                self._seen = self._glimpses.look() or self._seen
                fault = self._glimpses.fault
                if fault and fault != told:
                    self._log.info("no images of this training yet: %s", fault)
                told = fault
                self._try(last=False)
        finally:
            self._glimpses.close()
        self._try(last=True)

    def _try(self, *, last: bool) -> None:
        if self._heard is None:
            return  # nothing is trained, or not yet
        try:
            with get_client(httpx_settings={}, sync_client=True) as client:  # one of its own, not that of the flow's thread
                self._tell(client, last=last)
        except Exception as error:  # a server that is away, a file half written: the next look tells
            self._log.debug("the training's page is late: %s: %s", type(error).__name__, error)

    def _tell(self, client: SyncPrefectClient, *, last: bool) -> None:
        heard = self._heard  # the other thread goes on hearing
        assert heard is not None
        done = last and self._went_well
        self._bar.say(client, 100.0 if done else heard.percent, "done" if done else str(heard))
        made_of = (self._rows(), self._seen)
        if last or made_of != self._made_of or time.monotonic() - self._made_at >= PAGE_SECONDS:
            page = training_markdown(None if done else heard, self._live, self._seen)
            self._page.say(client, page, "done" if done else f"While it trains: {heard}")
            self._made_of, self._made_at = made_of, time.monotonic()

    def _rows(self) -> tuple[tuple[str, int], ...]:
        files = sorted((self._live / "plots/metrics").rglob("*.tsv"))
        return tuple((file.name, file.stat().st_size) for file in files)
