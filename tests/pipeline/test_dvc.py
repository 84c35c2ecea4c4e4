"""dvc.yaml: its edges, what its stages depend on, and what plain DVC makes of it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo
from dvc.utils.hydra import compose_and_dump

from flows.dvc_client import CODE, Dvc
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
        pictures = [".code/pictures"] if name == "fetch" else []
        found = [dependency for dependency in stages[name]["deps"] if dependency.startswith((".code", "soda"))]
        assert found == [*pictures, f".code/{name}"]


def test_other_code_runs_the_stages_that_it_is_of(project: Path, ran: Callable[[], list[str]]) -> None:
    (project / "soda/code-export").write_text("other")
    assert changed_stages(project) == {"export"}
    repro(project)
    assert ran() == ["export"]  # which left what it had left before
    (project / "soda/code-train").write_text("other")
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
    for _ in range(2):
        repro(project, CODE, "fetch")
    assert ran() == ["fetch"]
    (folder / "b.png").write_bytes(b"two")
    repro(project, CODE, "fetch")
    assert ran() == ["fetch", "fetch"]


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


def test_fingerprints_are_taken_again_when_a_file_of_the_code_was_touched_and_only_then(project: Path) -> None:
    (project / "soda/code-train").write_text("other")
    with Dvc(project) as dvc:
        dvc.changed_stages()
        written = (project / ".code/train").stat().st_mtime_ns
        assert dvc.changed_stages() == {"train"} and (project / ".code/train").stat().st_mtime_ns == written
        times = (project / "soda/code-train").stat()
        (project / "soda/code-train").write_text("as it was"[:5])  # of the same length, and given its old time
        os.utime(project / "soda/code-train", ns=(times.st_atime_ns, times.st_mtime_ns))
        dvc.changed_stages()
        assert (project / ".code/train").read_text() == "as it"
        (project / ".code/train").write_text("by hand")
        (project / "soda/code-train").unlink()
        assert dvc.changed_stages() == set() and (project / ".code/train").read_text() == "as it was"
