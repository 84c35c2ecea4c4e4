"""Data and an encoder go to a remote and come back from it alone: a folder, and a server that speaks S3."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from soda.cli import main
from soda.common.files import file_sha256
from soda.runtime import Encoder
from tests.support.own_projects import AUTHOR, ROOT, album, run
from tests.support.s3_server import KEYS, OWN, s3_server

DVC = (sys.executable, "-m", "dvc")


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {**AUTHOR, **KEYS, "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}.items():  # what DVC keeps of repositories
        monkeypatch.setenv(key, value)
    for key in OWN:
        monkeypatch.delenv(key, raising=False)


@pytest.fixture
def s3() -> Iterator[str]:
    """The address of an S3 server on loopback that has one bucket, `pictures`."""
    pytest.importorskip("dvc_s3", reason="pip install dvc-s3")
    with s3_server("pictures") as address:
        yield address


def sums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file in it, however deep."""
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in folder.rglob("*") if path.is_file()}


def pushed(tmp_path: Path, remote: str, *settings: str) -> tuple[str, dict[str, str]]:
    """A project whose data lie in `remote` and nowhere else: the address of its repository, and the SHA-256 of each file."""
    root = tmp_path / "a"
    main(["new", str(root), "--folder", str(album(tmp_path / "album")), "--set", "dataset.image_size=16"])
    run(*DVC, "repro", "-q", "prepare", cwd=root)
    run(*DVC, "remote", "add", "-d", "store", remote, cwd=root)
    for setting in settings:
        run(*DVC, "remote", "modify", "store", *setting.split("="), cwd=root)
    run(*DVC, "push", "-q", cwd=root)
    run("git", "add", "-A", cwd=root)
    run("git", "commit", "-qm", "Data", cwd=root)
    run("git", "clone", "-q", "--bare", root, tmp_path / "origin.git", cwd=tmp_path)
    made = sums(root / "data/prepared")
    shutil.rmtree(root)  # its cache with it
    return f"file://{tmp_path / 'origin.git'}", made


def comes_back(tmp_path: Path, address: str, made: dict[str, str]) -> None:
    """`dvc pull` in a clone, `dvc get` in an empty folder and `dvc import` in another project bring each file as it was."""
    run("git", "clone", "-q", address, tmp_path / "clone", cwd=tmp_path)
    run(*DVC, "pull", "-q", "prepare", cwd=tmp_path / "clone")
    (tmp_path / "empty").mkdir()
    run(*DVC, "get", "-q", address, "data/prepared", "-o", "here", cwd=tmp_path / "empty")
    main(["new", str(tmp_path / "other")])
    run(*DVC, "import", "-q", address, "data/prepared", "-o", "theirs", cwd=tmp_path / "other")
    assert address in (tmp_path / "other/theirs.dvc").read_text()
    for folder in (tmp_path / "clone/data/prepared", tmp_path / "empty/here", tmp_path / "other/theirs"):
        assert sums(folder) == made, folder


@pytest.mark.slow
def test_data_goes_to_a_folder_and_comes_back(tmp_path: Path) -> None:
    comes_back(tmp_path, *pushed(tmp_path, str(tmp_path / "store")))


@pytest.mark.slow
def test_data_goes_to_s3_and_comes_back(tmp_path: Path, s3: str) -> None:
    import boto3

    address, made = pushed(tmp_path, "s3://pictures/of/mine", f"endpointurl={s3}")
    assert len(made) > 1
    listed = boto3.client("s3", endpoint_url=s3).list_objects_v2(Bucket="pictures")["Contents"]
    assert len(listed) >= len(made) and all(each["Key"].startswith("of/mine/files/md5/") for each in listed)
    comes_back(tmp_path, address, made)


@pytest.mark.slow
def test_an_encoder_goes_to_a_folder_and_comes_back_without_the_project(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stages stand in for real ones; the encoder is a shipped one, and DVC, Git and the remote are what they are."""
    made, origin = project / "models/encoder.onnx", tmp_path / "origin.git"
    made.unlink()
    shutil.copy(ROOT / "zoo/emoji/encoder.onnx", made)
    run("git", "init", "-q", cwd=project)
    (project / ".dvc/config.local").unlink()
    run(*DVC, "commit", "-f", "-q", "export", cwd=project)
    run(*DVC, "remote", "add", "-d", "store", tmp_path / "store", cwd=project)
    run(*DVC, "push", "-q", "export", cwd=project)
    run("git", "add", "-A", cwd=project)
    run("git", "commit", "-qm", "A model", cwd=project)
    run("git", "clone", "-q", "--bare", project, origin, cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(project)  # its cache with it
    main(["new", str(tmp_path / "other")])
    (tmp_path / "empty").mkdir()
    run(*DVC, "get", "-q", f"file://{origin}", "models/encoder.onnx", cwd=tmp_path / "empty")
    run(*DVC, "import", "-q", f"file://{origin}", "models/encoder.onnx", "-o", "theirs.onnx", cwd=tmp_path / "other")
    shipped = Encoder(ROOT / "zoo/emoji/encoder.onnx", threads=1)
    pictures = album(tmp_path / "album", 4)
    for file in (tmp_path / "empty/encoder.onnx", tmp_path / "other/theirs.onnx"):
        assert np.array_equal(Encoder(file, threads=1).embed(pictures), shipped.embed(pictures))
    assert [each.name for each in (tmp_path / "empty").iterdir()] == ["encoder.onnx"]
