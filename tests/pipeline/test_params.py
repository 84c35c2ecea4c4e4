"""What params.yaml is composed with: a project stays with its experiment until somebody says otherwise."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from flows.params import write_composed
from flows.run_name import run_name
from soda.cli import main
from tests.support.scratch_project import PROJECT


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings and a conf/ to change, without any stage."""
    shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    shutil.copy(PROJECT / "params.yaml", tmp_path / "params.yaml")
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _params(project: Path) -> dict[str, dict[str, object]]:
    return yaml.safe_load((project / "params.yaml").read_text())


def test_a_run_without_overrides_stays_with_the_experiment_and_follows_conf(project: Path) -> None:
    assert write_composed(project, []) == []
    write_composed(project, ["experiment=avatars", "train=smoke"])
    assert write_composed(project, []) == [] and _params(project)["dataset"]["name"] == "avatars"
    assert run_name(project) == "avatars, avatars, train=smoke"
    base = project / "conf/export/default.yaml"
    base.write_text(base.read_text().replace("parity_images: 512", "parity_images: 256"))
    assert write_composed(project, []) == ["export.parity_images 512 -> 256"]
    assert _params(project)["dataset"]["name"] == "avatars"
    write_composed(project, ["experiment=fashion_mnist"])
    assert run_name(project, "evaluate") == "fashion_mnist, fashion_mnist, from evaluate"


def test_a_fresh_clone_has_the_default_settings(project: Path) -> None:
    main(["compose"])
    (project / ".dvc/tmp/chosen.json").unlink()
    assert run_name(project) == "fashion_mnist, default"


def test_settings_that_were_made_in_another_way_stay(project: Path) -> None:
    write_composed(project, ["experiment=avatars"])
    edited = (project / "params.yaml").read_text().replace("opset: 18", "opset: 19")
    (project / "params.yaml").write_text(edited)
    (said,) = write_composed(project, [])
    assert "stays as it is" in said and (project / "params.yaml").read_text() == edited
    assert run_name(project) == "avatars, settings of its own"
    main(["compose"])  # says otherwise
    assert write_composed(project, []) == [] and run_name(project) == "fashion_mnist, default"
    main(["compose", "experiment=emoji"])
    assert write_composed(project, []) == [] and _params(project)["dataset"]["name"] == "emoji"
