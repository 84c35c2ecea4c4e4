"""The process that runs DVC for the flow: one for all stages, so that DVC is loaded once. Started by flows.dvc_client alone.

Requests come as JSON lines on standard input, answers leave as JSON lines on a descriptor of their own; what DVC and the stages
print goes to standard output. It ends when its input does; a stage that is at work then is asked to stop, so that none outlives
a flow that was killed. Apart from the flow, DVC prints no line twice and can be stopped.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import queue
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TextIO

import psutil
from dvc.exceptions import DvcException
from dvc.fs import LocalFileSystem
from dvc.repo import Repo, locked
from dvc.repo.reproduce import plan_repro
from dvc.scm import NoSCM
from dvc.stage.exceptions import StageCmdFailedError

from flows.ending import GRACE_SECONDS
from flows.killed import kernel_kills, peak_bytes
from soda.common.files import whole_file

_RUNNING = "Running stage "
_UNHEARD = ("dvc.dvcfile", "dvc.repo.scm_context", "dvc.stage.run")  # what they say around a stage's own words


class WholeLockFiles(LocalFileSystem):  # type: ignore[misc]
    """The local disk, on which dvc.lock is written whole or not at all. DVC alone empties it first, and a kill then loses it."""

    def open(self, path: Any, mode: str = "r", **options: Any) -> Any:
        if mode == "w+" and os.path.basename(path) == "dvc.lock":
            return _whole_text(Path(path))
        return super().open(path, mode=mode, **options)


@contextlib.contextmanager
def _whole_text(path: Path) -> Iterator[io.StringIO]:
    text = io.StringIO()
    yield text
    with whole_file(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


class _Ear(logging.Handler):
    """Prints what a person should read, and notes whether a stage really ran."""

    ran = False
    removed = 0

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.name == "dvc.repo.gc":
            self.removed += int(next(iter(re.findall(r"Removed (\d+) objects", text)), 0))
            return
        if record.name == "dvc.stage.run" and text.startswith(_RUNNING):
            self.ran = True
            return
        if text and (record.levelno >= logging.WARNING or not record.name.startswith(_UNHEARD)):
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()


@locked
def _order(repo: Repo) -> dict[str, Any]:
    """The stages, each after those that it depends on."""
    return {"stages": [stage.addressing for stage in plan_repro(repo.index.graph)]}


def _changed(repo: Repo) -> dict[str, Any]:
    """The stages that DVC would run again, whatever happens to others. What is whole here and missing in the cache goes there."""
    refilled = _refill(repo)
    return {"stages": sorted(repo.status()), "refilled": refilled}


@locked
def _refill(repo: Repo) -> list[str]:
    """An output as dvc.lock has it that is missing in the cache is no reason to run its stage: it is put into the cache again."""
    found = []
    for out in (out for stage in repo.index.stages for out in stage.outs):
        if out.use_cache and out.hash_info and out.exists and out.changed_cache() and not out.changed_checksum():
            out.commit()
            found.append(str(out))
    return found


def _run(repo: Repo, ear: _Ear, stage: str, force: bool) -> dict[str, Any]:
    ear.ran = False
    done = repo.reproduce(targets=[stage], single_item=True, force=force)
    return {"changed": bool(done), "ran": ear.ran}


def _collect_garbage(repo: Repo, ear: _Ear, sharers: list[str], dry: bool) -> dict[str, Any]:
    ear.removed = 0
    in_git = not isinstance(repo.scm, NoSCM)
    repo.gc(workspace=True, all_commits=in_git, repos=sharers, dry=dry, force=True)
    return {"removed": ear.removed}


def _reasons(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _failure(error: Exception, kills: int, peak: int) -> dict[str, Any]:
    chain = list(_reasons(error))
    command = next((each for each in chain if isinstance(each, StageCmdFailedError)), None)
    if command is None:
        words = [str(each) for each in chain if str(each) and not str(each).startswith("failed to reproduce")]
        return {"error": "\n".join(dict.fromkeys(words)) or type(error).__name__, "status": None}
    now = peak_bytes()
    status = int(str(command).rpartition("exited with ")[2])
    return {"error": "", "status": status, "starved": kernel_kills() > kills, "peak_bytes": now if now > peak else 0}


def _leave(signum: int, frame: object) -> NoReturn:
    raise SystemExit(128 + signum)  # through DVC's own clean-up, which gives its locks back


class _Requests:
    """The lines of standard input, one after another. While one is `at_work`, the end of the input ends the whole group.

    The end comes when the flow is gone, also by SIGKILL: the stage gets SIGTERM, upon which training saves, and SIGKILL after
    GRACE_SECONDS.
    """

    def __init__(self) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._input = os.fdopen(os.dup(0), encoding="utf-8")
        self.at_work = self.orphaned = False
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a stage that reads its input must not take ours
        threading.Thread(target=self._read, daemon=True).start()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while (line := self._lines.get()) is not None:
            self.at_work = True
            yield json.loads(line)
            self.at_work = False

    def _read(self) -> None:
        for line in self._input:
            self._lines.put(line)
        self._lines.put(None)
        if self.at_work:
            self.orphaned = True
            os.killpg(0, signal.SIGTERM)
            time.sleep(GRACE_SECONDS)
            os.killpg(0, signal.SIGKILL)

    def outlast_stage(self) -> None:
        """Without a flow nobody else waits for what the stage saves, and the lock of the workspace goes with this process."""
        while self.orphaned and any(map(_is_at_work_here, psutil.pids())):
            time.sleep(0.1)


def _is_at_work_here(pid: int) -> bool:
    """Whether the process is another one of this group and has not ended."""
    try:
        return os.getpgid(pid) == os.getpgrp() and pid != os.getpid() and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        return False


def main(descriptor: int) -> None:
    """Answer requests on `descriptor` until standard input ends."""
    answers = os.fdopen(descriptor, "w", encoding="utf-8")
    signal.signal(signal.SIGTERM, _leave)
    ear = _Ear()
    for name in ("dvc", "dvc_objects", "dvc_data"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.handlers = [ear]  # in place of DVC's own
        logger.propagate = False
    requests = _Requests()
    try:
        _answer(requests, ear, answers)
    finally:
        requests.outlast_stage()


def _answer(requests: _Requests, ear: _Ear, answers: TextIO) -> None:
    repo: Repo | None = None
    for request in requests:
        kills, peak = kernel_kills(), peak_bytes()
        try:
            repo = repo or Repo(os.curdir, fs=WholeLockFiles())
            if request["do"] == "order":
                answer = _order(repo)
            elif request["do"] == "changed":
                answer = _changed(repo)
            elif request["do"] == "collect":
                answer = _collect_garbage(repo, ear, request["sharers"], request["dry"])
            else:
                answer = _run(repo, ear, request["stage"], request["force"])
        except DvcException as error:
            answer = _failure(error, kills, peak)
        sys.stdout.flush()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
