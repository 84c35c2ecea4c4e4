"""The process in which DVC runs for the flow: stopped, killed, its locks, its cache, and how it writes dvc.lock."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flows.command import CommandError, run_soda
from flows.dvc_client import Dvc, StageError
from flows.dvc_process import WholeLockFiles
from flows.killed import Left
from flows.processes import clear_dead_locks, is_same, start_of
from soda.common.safekeeping import mend
from tests.support.running import ENCODER, lives
from tests.support.scratch_project import changed_stages, repro


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, TimeoutError])
def test_whatever_interrupts_a_stage_lets_it_save_and_leaves_nothing_running(
    interruption: type[BaseException], project: Path
) -> None:
    (project / "misbehave").mkdir()
    (project / "misbehave/export").write_text("hang")
    said = []

    def interrupt(line: str) -> None:
        said.append(line)
        if line == "working":
            raise interruption

    with Dvc(project) as dvc, pytest.raises(interruption):
        dvc.run_stage("export", force=True, log=interrupt)
    assert (project / "saved").exists() and said[-1] == "saved the checkpoint"
    with pytest.raises(ProcessLookupError):
        os.kill(int((project / "pid").read_text()), 0)


def test_a_progress_bar_does_not_flood_the_log(project: Path) -> None:
    (project / "misbehave").mkdir()
    (project / "misbehave/export").write_text("progress")
    said: list[str] = []
    with Dvc(project) as dvc:
        assert dvc.run_stage("export", force=True, log=said.append).ran
    assert "step 0" not in said and "step 999" in said and "done" in said


def test_outputs_that_the_cache_lost_run_nothing_and_come_back_into_it(project: Path, ran: Callable[[], list[str]]) -> None:
    cached = {path.relative_to(project) for path in (project / ".dvc/cache/files").rglob("*") if path.is_file()}
    shutil.rmtree(project / ".dvc/cache")
    (project / "reports/index.html").write_text("altered")  # and so is not what is put into the cache
    said: list[str] = []
    with Dvc(project) as dvc:
        assert dvc.changed_stages(said.append) == {"report"}
    assert ran() == [] and "models/soda" in said[0] and "index.html" not in said[0]
    assert any((project / path).exists() for path in cached)
    with Dvc(project) as dvc:
        dvc.run_stage("report")
    assert ran() == ["report"] and changed_stages(project) == set()


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSEGV])
def test_a_stage_that_was_killed_is_named_as_killed(sign: signal.Signals, project: Path) -> None:
    (project / "misbehave").mkdir()
    (project / "misbehave/export").write_text("hang")

    def kill(line: str) -> None:
        if line == "working":
            os.kill(int((project / "pid").read_text()), sign)

    with Dvc(project) as dvc:
        with pytest.raises(StageError, match=f"stage export failed: killed by {sign.name}") as caught:
            dvc.run_stage("export", force=True, log=kill)
        assert "the same command runs it again" in str(caught.value) and "working" in str(caught.value)
        (project / "misbehave/export").unlink()
        assert dvc.run_stage("export", force=True).ran  # by the same process, which holds no lock of the dead


def test_dvc_killed_while_a_stage_is_at_work_leaves_nothing_running(project: Path) -> None:
    (project / "misbehave").mkdir()
    (project / "misbehave/export").write_text("hang")

    def kill(line: str) -> None:
        if line == "working":
            (parent,) = [
                each
                for each in psutil.Process(int((project / "pid").read_text())).parents()
                if "from flows.dvc_process" in str(each.cmdline())
            ]
            parent.kill()

    with Dvc(project) as dvc:
        with pytest.raises(StageError, match="DVC's process was killed by SIGKILL"):
            dvc.run_stage("export", force=True, log=kill)
        assert (project / "saved").exists() and not lives(int((project / "pid").read_text()))
        (project / "misbehave/export").unlink()
        clear_dead_locks(project)
        assert dvc.run_stage("export", force=True).ran


def test_the_locks_of_the_dead_are_cleared_and_those_of_the_living_stay(project: Path) -> None:
    lock, mine = project / ".dvc/tmp/rwlock", {"pid": os.getpid(), "cmd": " ".join(psutil.Process().cmdline())}
    recycled = {"pid": os.getppid(), "cmd": "dvc repro train"}  # a number that a stranger has now
    gone = {"pid": 2**22 + 1, "cmd": "dvc repro"}
    lock.write_text(json.dumps({"write": {"a": recycled, "b": mine}, "read": {"c": [gone, mine], "d": [gone]}}))
    said = clear_dead_locks(project)
    assert len(said) == 2 and "dvc repro train" in said[0]
    assert json.loads(lock.read_text()) == {"write": {"b": mine}, "read": {"c": [mine]}}
    os.utime(lock, (1, 1))  # written before this process began
    assert len(clear_dead_locks(project)) == 1 and json.loads(lock.read_text()) == {"write": {}, "read": {}}
    lock.write_text('{"write": {"a"')
    assert "cut off" in clear_dead_locks(project)[0] and not lock.exists()
    repro(project)


def test_a_process_number_that_was_given_again_is_another_process() -> None:
    assert is_same(os.getpid(), start_of(os.getpid())) and is_same(os.getpid(), None)
    assert not is_same(os.getpid(), "another start") and not is_same(2**22 + 1, None) and not is_same("12", None)


def test_dvc_lock_is_written_whole_or_not_at_all(project: Path) -> None:
    lock = project / "dvc.lock"
    before = lock.read_text()
    disk = WholeLockFiles()
    with pytest.raises(ZeroDivisionError), disk.open(str(lock), "w+", encoding="utf-8") as file:
        file.write("schema")
        raise ZeroDivisionError
    assert lock.read_text() == before
    with disk.open(str(lock), "w+", encoding="utf-8") as file:
        file.write("schema")
        assert lock.read_text() == before
    assert lock.read_text() == "schema"


def test_a_lock_that_a_kill_emptied_is_put_back_before_dvc_reads_it(project: Path, ran: Callable[[], list[str]]) -> None:
    with Dvc(project) as dvc:
        dvc.run_stage("report", force=True)
    (project / "dvc.lock").write_text("")
    assert "dvc.lock" in mend(project)[0]
    assert changed_stages(project) == set() and ran() == ["report"]


def test_a_command_that_was_killed_is_named_as_killed_and_what_it_left(tmp_path: Path) -> None:
    def kill(line: str) -> None:
        (tmp_path / "runs/another").mkdir(parents=True, exist_ok=True)
        (tmp_path / "runs/another/checkpoint.pt").touch()  # a training beside it goes on
        if "serving" in line:
            served = (each.pid for each in psutil.Process().children() if "serve" in each.cmdline())
            os.killpg(next(pid for pid in served if os.getpgid(pid) == pid), signal.SIGKILL)  # others are other tests' own

    with pytest.raises(CommandError, match="soda serve was killed by SIGKILL: somebody, or the system") as caught:
        run_soda(["serve", str(ENCODER), "--port", "0"], tmp_path, kill, Left("Its vectors stay", trains=False))
    assert (
        "checkpoint" not in str(caught.value)
        and "Its vectors stay" in str(caught.value)
        and caught.value.status == -signal.SIGKILL
    )
