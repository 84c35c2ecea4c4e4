"""The DVC client: which stages there are, in which order, which of them changed, and running one of them.

DVC runs in a process of its own (flows.dvc_process), one for all stages of a run: inside Prefect its API prints lines twice, and
a process can be stopped.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from flows.code_stamp import is_stamped, sources, stamp
from flows.ending import end_group
from flows.killed import Witness, describe, signal_of
from flows.proxies import given_back
from flows.relay import Relay
from soda.common.errors import SodaError
from soda.common.safekeeping import keep_copies

logger = logging.getLogger(__name__)

# With -P and without PYTHONPATH: the project's own folder may hold another `flows`, and its stages get the environment as it is.
_PROCESS = "import sys; sys.path.insert(0, sys.argv[1]); from flows.dvc_process import main; main(int(sys.argv[2]))"

CODE = "code"
"""The stage that takes the fingerprints of the others' code. DVC runs it always, and so it is none of the flow's."""


class StageError(SodaError, RuntimeError):
    """A stage, or DVC itself, failed. The message names the stage and ends in its last words."""

    def __init__(self, stage: str, reason: str, status: int | None = None) -> None:
        super().__init__(f"stage {stage} failed: {reason}" if stage else reason)
        self.stage = stage
        self.status = status  # of the stage's command; None when DVC never got as far as running it


@dataclass(frozen=True)
class StageResult:
    stage: str
    ran: bool  # False: it was up to date, or came out of the cache
    changed: bool  # False: it was up to date
    seconds: float


def _environment() -> dict[str, str]:
    quiet = {"DVC_NO_ANALYTICS": "1", "GX_ANALYTICS_ENABLED": "false", "PYTHONUNBUFFERED": "1"}
    return {**given_back(os.environ), **quiet, "SODA_PYTHON": sys.executable}


class Dvc:
    """DVC at work in the project `root`; a context manager, which ends its process.

    inherit: descriptors that the process keeps open (the workspace lock, which so outlives a killed flow).
    """

    def __init__(self, root: Path, inherit: Iterable[int] = ()) -> None:
        self.root = root
        self._inherit = tuple(inherit)
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Start the process, which takes DVC a second or two to load, and come back at once."""
        if self._process is not None:
            return
        self._answers, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROCESS, str(Path(__file__).parents[1]), str(writing)],
                cwd=self.root,
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(*self._inherit, writing),
            )
        finally:
            os.close(writing)

    def stage_order(self) -> list[str]:
        """The names of all stages but CODE, each after those that it depends on, as DVC's graph has them.

        Raises StageError with DVC's words when dvc.yaml cannot be read, holds a cycle, or has no stages.
        """
        stages = self._ask({"do": "order"})["stages"]
        if not stages:
            raise StageError("", f"{self.root / 'dvc.yaml'}: DVC finds no stages there")
        return [stage for stage in stages if stage != CODE]

    def changed_stages(self, log: Callable[[str], None] = logger.info) -> set[str]:
        """The stages that DVC would run again because their own code, dependencies, params, outputs or command changed.

        A stage missing here is up to date as long as no stage before it runs. Outputs that are whole here and missing in DVC's
        cache are put there first; they are no change.
        """
        if not is_stamped(self.root, now := sources(self.root)):
            self.run_stage(CODE, log=logger.debug)
            stamp(self.root, now)
        answer = self._ask({"do": "changed"})
        if answer["refilled"]:
            log(f"put into DVC's cache again: {', '.join(answer['refilled'])}")
        return set(answer["stages"]) - {CODE}

    def run_stage(
        self,
        stage: str,
        *,
        force: bool = False,
        log: Callable[[str], None] = logger.info,
        bar: Callable[[str], object] | None = None,
    ) -> StageResult:
        """Bring one stage up to date (`dvc repro --single-item`), sending each line that it prints to `log` as it comes, and
        each state of a progress bar to `bar`.

        Whatever interrupts this call - a time-out, a cancelled run, Ctrl-C - first stops the stage and all it started with
        SIGTERM, and with SIGKILL only when it does not listen. Raises StageError when the stage fails.
        """
        keep_copies(self.root)
        started, since = time.monotonic(), time.time()
        relay = Relay(log, bar)
        answer = self._ask({"do": "run", "stage": stage, "force": force}, stage, relay)
        if "status" in answer:
            words, status = "\n".join([*relay.last, *filter(None, [answer["error"]])]), answer["status"]
            if sign := signal_of(status):
                facts = {"starved": answer["starved"], "peak_bytes": answer["peak_bytes"], "since": since}
                words = f"{describe(sign, self.root, **facts)}\nIts last words:\n{words}"
            raise StageError(stage, words or f"its command ended with status {status}", status)
        return StageResult(stage, answer["ran"], answer["changed"], time.monotonic() - started)

    def collect_garbage(self, sharers: list[Path], *, dry: bool) -> int:
        """Let go of what DVC's cache has and neither files nor a commit need, of this project and of those that share it.

        Returns how many objects go, or would go.
        """
        answer = self._ask({"do": "collect", "sharers": [str(each) for each in sharers], "dry": dry})
        return int(answer["removed"])

    def close(self) -> None:
        """End the process. A stage that is at work is asked to stop first."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # at work on nothing, it ends at this
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            end_group(self._process, Relay(logger.info))
        self._forget()

    def _forget(self) -> None:
        assert self._process is not None
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        os.close(self._answers)
        self._process = None

    def _ask(self, request: dict[str, Any], stage: str = "", relay: Relay | None = None) -> dict[str, Any]:
        self.start()
        witness = Witness()
        process, relay = self._process, relay or Relay(logger.debug)
        assert process is not None and process.stdin is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = self._hear(relay)
        except BrokenPipeError:
            line = b""
        except BaseException:
            end_group(process, relay)
            self._forget()
            raise
        if not line:  # the process is gone; what it started may not be
            end_group(process, relay)
            status = process.returncode
            self._forget()
            sign = signal_of(status)
            said = "\n".join(relay.last)
            why = witness.describe(sign, self.root) if sign else f"ended ({status})"
            raise StageError(stage, f"DVC's process was {why}\n{said}".strip())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer and not stage:
            raise StageError("", "\n".join(filter(None, [f"dvc: {answer['error']}", *relay.last])))
        return answer

    def _hear(self, relay: Relay) -> bytes:
        """Pass on what is printed until the answer is there; b"" when the process ended without one."""
        assert self._process is not None and self._process.stdout is not None
        output, line = self._process.stdout.fileno(), b""
        open_pipes = {output, self._answers}
        while not line.endswith(b"\n") and open_pipes:
            for pipe in select.select(list(open_pipes), [], [])[0]:
                chunk = os.read(pipe, 65536)
                if not chunk:
                    open_pipes.discard(pipe)
                    if pipe == self._answers:
                        return b""
                elif pipe == output:
                    relay.feed(chunk)
                else:
                    line += chunk
        while output in open_pipes and select.select([output], [], [], 0)[0] and (chunk := os.read(output, 65536)):
            relay.feed(chunk)  # printed before the answer was given
        relay.flush()
        return line
