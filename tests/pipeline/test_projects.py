"""Projects of one's own: made by the installed package, three side by side, brought up to a newer one."""

from __future__ import annotations

import json
import os
import shutil
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from soda.cli import main
from soda.projects import ProjectError, project
from soda.projects.template import template_files
from soda.runtime import Encoder
from tests.support.own_projects import AUTHOR, MICRO, ROOT, album, run, start

DVC = (sys.executable, "-m", "dvc")
QUIETLY = ("--quiet", "--no-deps", "--no-index", "--ignore-installed")  # the package may be installed beside what it depends on


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in AUTHOR.items():
        monkeypatch.setenv(key, value)


def test_projects_side_by_side_have_settings_of_their_own(tmp_path: Path) -> None:
    pictures = album(tmp_path / "my pictures")
    main(["new", str(tmp_path / "a"), "--folder", str(pictures)])
    main(["new", str(tmp_path / "b"), "--set", "experiment=emoji"])
    main(["new", str(tmp_path / "c d"), "--folder", str(pictures), "--set", "model.latent_dim=32"])
    settings = [yaml.safe_load((tmp_path / name / "params.yaml").read_text()) for name in ("a", "b", "c d")]
    assert [each["dataset"]["name"] for each in settings] == ["folder", "emoji", "folder"]
    assert settings[0]["dataset"]["path"] == str(pictures) and settings[2]["model"]["latent_dim"] == 32
    codes = []
    for name in ("a", "b", "c d"):
        root = tmp_path / name
        assert (
            run("git", "status", "--porcelain", cwd=root) == ""
            and run("git", "log", "--format=%s", cwd=root) == "A new project\n"
        )
        run("./stage", "code", cwd=root)
        codes.append({path.name: path.read_text() for path in (root / ".code").iterdir()})
        text = (root / "dvc.yaml").read_text() + (root / "prefect.yaml").read_text()
        assert "zoo" not in text and str(ROOT) not in text
    watched = [code.pop("pictures") for code in codes]
    assert watched[0] == watched[2] != watched[1]
    assert codes[0] == codes[1] == codes[2] and "train" in codes[0]


def test_deployments_of_a_project_find_the_installed_flow(tmp_path: Path) -> None:
    from prefect.flows import load_flow_from_entrypoint

    main(["new", str(tmp_path / "a")])
    deployments = yaml.safe_load((tmp_path / "a/prefect.yaml").read_text())["deployments"]
    flows = {each["name"]: load_flow_from_entrypoint(each["entrypoint"]).name for each in deployments}
    assert flows["pipeline"] == flows["nightly"] == "soda-pipeline"
    assert {name: f"soda-{name}" for name in flows if name not in ("pipeline", "nightly")}.items() <= flows.items()


def test_a_newer_package_brings_what_nobody_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "a"
    main(["new", str(root)])
    assert project.follow_package(root) == ([], [])
    (root / "conf/model/tiny.yaml").write_text("# mine\n")
    (root / "conf/experiment/my_own.yaml").write_text("# @package _global_\n")
    newer = template_files()
    newer |= {
        "conf/model/tiny.yaml": b"new",
        "conf/model/base.yaml": b"new",
        "conf/train/more.yaml": b"more",
        "stage": b"#!/bin/sh\n",
    }
    del newer["conf/dataset/emoji.yaml"]
    monkeypatch.setattr(project, "template_files", lambda: newer)
    changed, kept = project.follow_package(root)
    assert changed == ["conf/dataset/emoji.yaml", "conf/model/base.yaml", "conf/train/more.yaml", "stage"]
    assert kept == ["conf/model/tiny.yaml"] and (root / "conf/model/tiny.yaml").read_text() == "# mine\n"
    assert (root / "conf/train/more.yaml").read_bytes() == b"more" and not (root / "conf/dataset/emoji.yaml").exists()
    assert (root / "conf/experiment/my_own.yaml").exists() and os.access(root / "stage", os.X_OK)
    assert project.follow_package(root) == ([], [])


def test_a_checkout_is_left_alone_and_no_project_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert project.follow_package(ROOT) == ([], [])
    with pytest.raises(ProjectError, match="not a project"):
        project.follow_package(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/a").touch()
    for arguments, says in (
        ([str(tmp_path / "full")], "there is something in it already"),
        ([str(tmp_path / "new"), "--folder", str(tmp_path / "none")], "no such folder"),
        ([str(tmp_path / "new"), "--set", "model.latent_dim=many"], "model.latent_dim"),
    ):
        with pytest.raises(SystemExit):
            main(["new", *arguments])
        assert says in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def without_git(folder: Path) -> str:
    """A PATH with all that the usual one has, but Git."""
    folder.mkdir()
    for place in map(Path, os.environ["PATH"].split(os.pathsep)):
        for program in place.iterdir() if place.is_dir() else ():
            if not program.name.startswith("git") and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    return str(folder)


def test_dvc_works_in_a_project_that_was_made_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", without_git(tmp_path / "bin"))
    assert shutil.which("git") is None
    main(["new", str(tmp_path / "a"), "--folder", str(album(tmp_path / "album")), "--set", "dataset.image_size=16"])
    assert not (tmp_path / "a/.git").exists()
    run(*DVC, "remote", "add", "-d", "store", tmp_path / "store", cwd=tmp_path / "a")
    run(*DVC, "repro", "-q", "fetch", cwd=tmp_path / "a")
    run(*DVC, "push", "-q", cwd=tmp_path / "a")
    assert list((tmp_path / "store/files/md5").rglob("*.dir"))


def test_an_unpacked_archive_runs(tmp_path: Path) -> None:
    """As GitHub's ZIP brings it: no .git, what .gitattributes exports written out."""
    leave = [f":(exclude){name}" for name in ("zoo", "docs", "tests", "apps", "reports", "benchmarks", "dvc.lock")]
    tree = run("git", "stash", "create", cwd=ROOT).strip() or "HEAD"  # with what is not committed
    run("git", "archive", "-o", tmp_path / "a.tar", tree, ".", *leave, cwd=ROOT)
    shutil.unpack_archive(tmp_path / "a.tar", tmp_path / "a")
    assert "\n    no_scm = true\n" in (tmp_path / "a/.dvc/config").read_text()
    overrides = ["dataset=folder", f"dataset.path={album(tmp_path / 'album')}", "dataset.image_size=16"]
    run(sys.executable, "-m", "soda", "compose", *overrides, cwd=tmp_path / "a", python_path=str(tmp_path / "a"))
    run(*DVC, "repro", "-q", "fetch", cwd=tmp_path / "a", python_path=str(tmp_path / "a"))
    assert (tmp_path / "a/data/raw").is_dir() and "fetch" in (tmp_path / "a/dvc.lock").read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_wheel_and_sdist_are_built_and_serve_outside_any_clone(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith(("zoo/", "docs/", "tests/", "apps/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    build = "from setuptools import build_meta as b; import sys; getattr(b, sys.argv[1])(sys.argv[2])"
    for what in ("build_sdist", "build_wheel"):
        run(sys.executable, "-c", build, what, tmp_path / "dist", cwd=source, python_path=None)
    (wheel,), (sdist,) = (tmp_path / "dist").glob("*.whl"), (tmp_path / "dist").glob("*.tar.gz")
    shutil.unpack_archive(sdist, tmp_path / "unpacked")
    run(
        sys.executable,
        "-c",
        build,
        "build_wheel",
        tmp_path / "again",
        cwd=next((tmp_path / "unpacked").iterdir()),
        python_path=None,
    )
    (again,) = (tmp_path / "again").glob("*.whl")
    names = [sorted(zipfile.ZipFile(each).namelist()) for each in (wheel, again)]
    assert names[0] == names[1] and not any(name.startswith(("tests/", "benchmarks/")) for name in names[0])
    for name in (
        "soda/projects/files/stage",
        "soda/projects/files/conf/config.yaml",
        "soda/vectors/atlas/view.js",
        "soda/py.typed",
    ):
        assert name in names[0]

    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/*/site-packages")
    (packages / "others.pth").write_text(str(Path(np.__file__).parents[1]) + "\n")  # what it depends on
    python = environment / "bin/python"
    run(sys.executable, "-m", "pip", "--python", python, "install", *QUIETLY, wheel, cwd=tmp_path)
    pictures = album(tmp_path / "album")
    run(environment / "bin/soda", "new", tmp_path / "p", "--folder", pictures, cwd=tmp_path, python_path=None)
    where = run(python, "-c", "import soda, flows; print(soda.__file__, flows.__file__)", cwd=tmp_path / "p", python_path=None)
    assert where.count(str(packages)) == 2
    shutil.rmtree(tmp_path / "p")
    run_side_by_side(environment / "bin/soda", tmp_path)


def run_side_by_side(soda: Path, folder: Path) -> None:
    """`soda run` in two projects at once, outside any clone, behind a proxy that Prefect's client cannot use: in one of them to
    the encoder and the page, in the other, which would only take longer, to the gate."""
    pictures, dims = album(folder / "pictures of mine", 60), {"a": 9, "c d": 21}
    for name, dim in dims.items():
        settings = [*MICRO, f"model.latent_dim={dim}"]
        run(soda, "new", folder / name, "--folder", pictures, "--set", *settings, cwd=folder, python_path=None)
    elsewhere = {"ALL_PROXY": "socks5://127.0.0.1:9", "SODA_PYTHON": "", "PREFECT_API_URL": ""}
    ends = {name: [] if name == "a" else ["--until-stage", "validate"] for name in dims}
    runs = [start(soda, "run", *ends[name], cwd=folder / name, python_path=None, **elsewhere) for name in dims]
    said = ["".join(each.communicate()) for each in runs]
    assert [each.returncode for each in runs] == [0, 0], "\n".join(said)
    for name, dim in dims.items():
        assert yaml.safe_load((folder / name / "params.yaml").read_text())["model"]["latent_dim"] == dim
        verdict = json.loads((folder / name / "reports/validation.json").read_text())
        assert verdict["success"] and verdict["rows"] == 60
        changed = {line.rstrip(":") for line in run(*DVC, "status", cwd=folder / name).splitlines() if line.endswith(":")}
        assert "prepare" not in changed and "validate" not in changed and ("train" in changed) == (name != "a"), changed
    assert Encoder(folder / "a/models/encoder.onnx", threads=1).embed(pictures).shape == (60, 9)
    assert (folder / "a/reports/index.html").stat().st_size > 10_000
