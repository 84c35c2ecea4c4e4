"""dvc.yaml: its edges, what its stages depend on, and what plain DVC makes of it."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from dvc.repo import Repo
from dvc.utils.hydra import compose_and_dump

from flows.dvc_client import CODE, Dvc, StageError
from flows.dvc_process import WholeLockFiles
from flows.processes import clear_dead_locks, is_same, start_of
from soda.common.safekeeping import mend
from soda.config import compose, write_params
from soda.stages import STAGES
from tests.support.scratch_project import ORDER, PROJECT, changed_stages, repro
from tests.support.settings import experiment_overrides


@pytest.fixture(scope="module")
def stages() -> dict[str, Any]:
    return yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]


def test_every_stage_is_registered_and_depends_on_its_own_code(stages: dict[str, Any]) -> None:
    assert list(stages) == [CODE, *ORDER] and list(STAGES) == ORDER
    for name in ORDER:
        assert [dependency for dependency in stages[name]["deps"] if dependency.startswith((".code", "soda"))] == [
            f".code/{name}"
        ]


def test_other_code_runs_the_stages_that_it_is_of(project: Path, ran: Callable[[], list[str]]) -> None:
    (project / "code-export").write_text("other")
    assert changed_stages(project) == {"export"}
    repro(project)
    assert ran() == ["export"]  # which left what it had left before
    (project / "code-train").write_text("other")
    repro(project)
    assert ran() == ["export", "train"]


def test_every_output_stays_until_its_stage_replaces_it_and_git_keeps_the_figures(stages: dict[str, Any]) -> None:
    for name, stage in stages.items():
        for out in stage["outs"]:
            (path, options), *_ = out.items()
            assert options.get("persist") is True, f"{name}: {path}"
            assert options.get("cache", True) is (name != CODE and not path.endswith(".json")), f"{name}: {path}"


def test_the_order_is_the_one_in_which_dvc_runs_the_stages(finished: Path) -> None:
    with Dvc(finished) as dvc:
        assert (finished / "ran.log").read_text().split() == dvc.stage_order() == ORDER


def test_a_second_repro_runs_nothing_within_5_s(project: Path, ran: Callable[[], list[str]]) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "dvc", "repro"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ran() == []
    # Processor time: what the machine does besides is not the project's.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5


def test_a_setting_runs_only_the_stages_that_read_it(project: Path, ran: Callable[[], list[str]]) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["export"]["parity_images"] += 1
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    assert changed_stages(project) == {"export", "report"}
    repro(project)
    assert ran() == ["export", "report"]


@pytest.mark.parametrize(
    ("override", "readers"),
    [
        ("views.recolour=.5", {"train", "report"}),
        ("model.cameras.source_drop=1", {"train", "report"}),
        ("gate.min_views=2", {"validate", "report"}),
    ],
)
def test_the_change_of_a_default_reaches_the_stages_that_read_it(override: str, readers: set[str], project: Path) -> None:
    write_params(compose([override], project / "conf"), project / "params.yaml")
    assert changed_stages(project) == readers


def test_metrics_are_shown_once(project: Path) -> None:
    with Repo(str(project)) as repo:
        shown = repo.metrics.show()
    assert list(shown[""]["data"]) == [str(Path("reports/metrics.json"))]


@pytest.mark.parametrize("where", ["relative", "absolute"])
def test_a_persons_folder_is_a_dependency_wherever_it_is(
    where: str, project: Path, tmp_path: Path, ran: Callable[[], list[str]]
) -> None:
    folder = (project if where == "relative" else tmp_path) / "my pictures (1), été"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"one")
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["dataset"]["path"] = folder.name if where == "relative" else str(folder)
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    repro(project, "fetch")
    repro(project, "fetch")
    assert ran() == ["fetch"]
    (folder / "b.png").write_bytes(b"two")
    repro(project, "fetch")
    assert ran() == ["fetch", "fetch"]


def test_a_folder_that_is_not_there_is_named(project: Path) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["dataset"]["path"] = "/no/such/folder"
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    with Dvc(project) as dvc, pytest.raises(StageError, match="/no/such/folder") as caught:
        dvc.run_stage("fetch")
    assert caught.value.status is None


def test_the_launcher_finds_the_nearest_environment_upwards(tmp_path: Path) -> None:
    project, copy = tmp_path / "a project", tmp_path / "a project/.dvc/tmp/exps/tmp1"
    copy.mkdir(parents=True)
    (project / ".venv/bin").mkdir(parents=True)
    fake = project / ".venv/bin/python"
    fake.write_text('#!/bin/sh\necho "nearest $*"\n')
    fake.chmod(0o755)
    (copy / "stage").write_text((PROJECT / "stage").read_text())
    (copy / "stage").chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin"}
    run = [str(copy / "stage"), "train"]
    found = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "nearest -m soda train\n"
    named = subprocess.run([*run], env={**environment, "SODA_PYTHON": "/bin/echo"}, capture_output=True, text=True, check=True)
    assert named.stdout == "-m soda train\n"


@pytest.mark.parametrize(
    "overrides",
    [
        *(experiment_overrides(file.stem) for file in sorted((PROJECT / "conf/experiment").glob("*.yaml"))),
        [],
        ["train=long", "model.latent_dim=64"],
        ["experiment=emoji", "train=quick", "model.latent_dim=64"],
        ["train.lr=1e-5", "dataset=folder", "dataset.path='/a b/ü'"],
    ],
    ids=" ".join,
)
def test_an_experiment_of_dvc_composes_what_soda_compose_writes(overrides: list[str], tmp_path: Path) -> None:
    compose_and_dump(tmp_path / "dvc.yaml", str(PROJECT / "conf"), None, "config", "", list(overrides))
    write_params(compose(overrides, PROJECT / "conf"), tmp_path / "soda.yaml")
    assert (tmp_path / "dvc.yaml").read_bytes() == (tmp_path / "soda.yaml").read_bytes()


@pytest.mark.slow
def test_dvc_exp_run_composes_runs_and_leaves_the_settings_in_params_yaml(project: Path, ran: Callable[[], list[str]]) -> None:
    (project / ".dvc/config.local").unlink()
    (project / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (project / ".gitignore").write_text((PROJECT / ".gitignore").read_text())
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *command], cwd=project, check=True)
    subprocess.run(["git", "config", "user.name", "t"], cwd=project, check=True)
    subprocess.run(["git", "config", "user.email", "t@example.org"], cwd=project, check=True)
    settings = ["-S", "experiment=fashion_mnist_long", "-S", "model.latent_dim=64"]
    subprocess.run([sys.executable, "-m", "dvc", "exp", "run", *settings], check=True)
    params = yaml.safe_load((project / "params.yaml").read_text())
    assert (params["model"]["latent_dim"], params["model"]["channels"]) == (64, 24)
    assert params["train"]["images"] == yaml.safe_load((PROJECT / "conf/train/long.yaml").read_text())["images"]
    assert ran() == ["train", "report"]  # what evaluate and export read did not change


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
                if "dvc_process" in str(each.cmdline())
            ]
            parent.kill()

    with Dvc(project) as dvc:
        with pytest.raises(StageError, match="DVC's process was killed by SIGKILL"):
            dvc.run_stage("export", force=True, log=kill)
        assert (project / "saved").exists() and not psutil.pid_exists(int((project / "pid").read_text()))
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
