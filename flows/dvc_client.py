"""The DVC client: which stages there are, in which order, which of them changed, and running one of them.

Everything goes through the command line of the DVC that is installed beside this Python: its API prints log lines twice inside
Prefect, and a subprocess can be stopped.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import logging
import math
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

from soda.common.errors import SodaError

logger = logging.getLogger(__name__)

GRACE_SECONDS = 60.0  # between asking a stage to stop (training then saves its checkpoint) and ending it
PROGRESS_SECONDS = 30.0  # between two lines of a progress bar in the log
_LAST_LINES = 12

CODE = "code"
"""The stage that takes the fingerprints of the others' code. DVC runs it always, and so it is none of the flow's."""

_NODE = re.compile(r'^"(?P<name>[^"]+)";$')
_EDGE = re.compile(r'^"(?P<before>[^"]+)" -> "(?P<after>[^"]+)";$')
_LINE_END = re.compile(r"\r\n|\n|\r")
_EXITED = re.compile(r"failed to run: .*, exited with (-?\d+)")
# What DVC says around a stage's own words, which are what a person wants to see.
_DVC_REMARKS = (
    "> ",
    "ERROR: failed to reproduce",
    "Updating lock file",
    "Use `dvc",
    "To track the",
    "To enable auto",
    "\tgit add",
)


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
    seconds: float


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


def _environment() -> dict[str, str]:
    quiet = {"DVC_NO_ANALYTICS": "1", "GX_ANALYTICS_ENABLED": "false", "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **quiet, "SODA_PYTHON": sys.executable}


def _ask(root: Path, *arguments: str) -> str:
    answer = subprocess.run(_command(*arguments), cwd=root, env=_environment(), capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise StageError("", f"dvc {arguments[0]}: {(answer.stderr or answer.stdout).strip()}")
    return answer.stdout


def allow_without_git(root: Path) -> bool:
    """Where there is no Git folder, tell DVC so in .dvc/config.local, which is this copy's alone. Returns whether that was new.

    An archive of the project (`git archive`, GitHub's ZIP) says so by itself in .dvc/config.
    """
    local = root / ".dvc/config.local"
    said = any(path.is_file() and "no_scm = true" in path.read_text(encoding="utf-8") for path in (local, root / ".dvc/config"))
    if said or (root / ".git").exists() or local.exists() or not local.parent.is_dir():
        return False
    local.write_text("[core]\n    no_scm = true\n", encoding="utf-8")
    return True


def stage_order(root: Path) -> list[str]:
    """The names of all stages but CODE, each after those that it depends on, as DVC's graph has them.

    Raises StageError with DVC's words when dvc.yaml cannot be read, holds a cycle, or has no stages.
    """
    sorter: TopologicalSorter[str] = TopologicalSorter()
    nodes = 0
    for line in _ask(root, "dag", "--dot").splitlines():
        if node := _NODE.match(line):
            sorter.add(node["name"])
            nodes += 1
        elif edge := _EDGE.match(line):
            sorter.add(edge["after"], edge["before"])
    if not nodes:
        raise StageError("", f"{root / 'dvc.yaml'}: DVC finds no stages there")
    return [stage for stage in sorter.static_order() if stage != CODE]


def changed_stages(root: Path) -> set[str]:
    """The stages that DVC would run again because their own code, dependencies, params, outputs or command changed.

    A stage missing here is up to date as long as no stage before it runs.
    """
    run_stage(root, CODE, log=logger.debug)
    return set(json.loads(_ask(root, "status", "--json") or "{}")) - {CODE}


def _pieces(descriptor: int, deadline: float = math.inf) -> Iterator[tuple[str, bool]]:
    """Lines of a pipe as they come, until it closes or the deadline (of time.monotonic) passes.

    Yields (text, whether it is a progress bar, that is, ended by a carriage return).
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    rest = ""
    while True:
        left = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([descriptor], [], [], left)
        chunk = os.read(descriptor, 65536) if ready else b""
        if not chunk:
            break
        rest += decoder.decode(chunk)
        while (end := _LINE_END.search(rest)) and (end.end() < len(rest) or end.group() != "\r"):
            yield rest[: end.start()], end.group() == "\r"
            rest = rest[end.end() :]
    if rest.strip():
        yield rest, False


class _Relay:
    """Passes a stage's output on: whole lines to the log, a progress bar to the terminal, and now and then to the log."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self.log = log
        self.last: deque[str] = deque(maxlen=_LAST_LINES)
        self.ran = False
        self.exit_code: int | None = None
        self._terminal = sys.stderr if sys.stderr.isatty() else None
        self._bar_width = 0
        self._logged = time.monotonic()

    def _clear_bar(self) -> None:
        if self._terminal and self._bar_width:
            self._terminal.write("\r" + " " * self._bar_width + "\r")
            self._terminal.flush()
        self._bar_width = 0

    def _bar(self, text: str) -> None:
        if self._terminal:
            self._terminal.write("\r" + text.ljust(self._bar_width))
            self._terminal.flush()
            self._bar_width = len(text)
        elif time.monotonic() - self._logged >= PROGRESS_SECONDS:
            self._logged = time.monotonic()
            self.log(text)

    def take(self, text: str, progress: bool) -> None:
        text = text.rstrip()
        if not text.strip():
            return
        if progress:
            self._bar(text)
            return
        self._clear_bar()
        if exited := _EXITED.search(text):
            self.exit_code = int(exited[1])
        if text.startswith("Running stage "):
            self.ran = True
        elif not (self.ran and text.startswith(_DVC_REMARKS)):
            self.last.append(text)
            self.log(text)


def _stop(process: subprocess.Popen[bytes], relay: _Relay) -> None:
    """Ask the whole group to stop, pass on what it still says, and end it when it does not listen."""
    assert process.stdout is not None
    group, deadline = process.pid, time.monotonic() + GRACE_SECONDS
    try:
        os.killpg(group, signal.SIGTERM)
        for text, progress in _pieces(process.stdout.fileno(), deadline):
            relay.take(text, progress)
        while time.monotonic() < deadline:
            process.poll()  # reaps DVC, which leaves before the stage does
            os.killpg(group, 0)
            time.sleep(0.05)
    except ProcessLookupError:
        return
    finally:  # out of patience, or a second Ctrl-C
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        process.wait()


def run_stage(
    root: Path, stage: str, *, force: bool = False, log: Callable[[str], None] = logger.info, inherit: Iterable[int] = ()
) -> StageResult:
    """Bring one stage up to date (`dvc repro --single-item`), sending each line that it prints to `log` as it comes.

    `inherit` are descriptors that the stage keeps open (the workspace lock, which so outlives a killed flow). Whatever interrupts
    this call - a time-out, a cancelled run, Ctrl-C - first stops the stage and all it started with SIGTERM, and with SIGKILL only
    after GRACE_SECONDS. Raises StageError when the stage fails.
    """
    command = _command("repro", "--single-item", *(["--force"] if force else []), stage)
    relay = _Relay(log)
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=root,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=tuple(inherit),
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            for text, progress in _pieces(process.stdout.fileno()):
                relay.take(text, progress)
            code = process.wait()
        except BaseException:
            _stop(process, relay)
            raise
    if code != 0:
        raise StageError(stage, "\n".join(relay.last) or f"dvc repro exited with {code}", relay.exit_code)
    return StageResult(stage, relay.ran, time.monotonic() - started)
