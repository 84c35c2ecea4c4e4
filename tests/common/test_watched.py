"""What `dataset.path` names is known by a fingerprint, whatever lies there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soda.common.watched import path_fingerprint


def test_a_file_is_known_by_what_is_in_it_wherever_it_lies(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    os.utime(tmp_path / "b", (1, 1))
    first = path_fingerprint(tmp_path / "a")
    assert first == path_fingerprint(tmp_path / "b")
    (tmp_path / "a").write_text("y")
    assert path_fingerprint(tmp_path / "a") != first


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sub-folder, a link around in a circle, one that leads nowhere, a pipe, a name that is no UTF-8, what may not be read."""
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.png").write_text("one")
    (folder / "sub/b.png").write_text("two")
    (folder / "sub/round").symlink_to(folder)
    (folder / "nowhere.png").symlink_to("/gone.png")
    os.mkfifo(folder / "pipe.png")
    with open(os.fsencode(folder) + b"/\xff.png", "wb") as file:
        file.write(b"x")
    (folder / "closed").mkdir(mode=0)
    (folder / "closed.png").touch(mode=0)
    return folder


def test_a_folder_has_one_whatever_is_in_it(folder: Path) -> None:
    assert path_fingerprint(folder) == path_fingerprint(folder)


@pytest.mark.parametrize("what", ["new", "changed", "gone", "renamed", "mended"])
def test_each_change_of_a_folder_shows(folder: Path, what: str) -> None:
    before = path_fingerprint(folder)
    if what == "new":
        (folder / "sub/c.png").touch()
    elif what == "changed":
        (folder / "sub/b.png").write_text("three")
    elif what == "gone":
        (folder / "pipe.png").unlink()
    elif what == "renamed":
        (folder / "a.png").rename(folder / "aa.png")
    else:
        (folder / "nowhere.png").unlink()
        (folder / "nowhere.png").symlink_to(folder / "a.png")
    assert path_fingerprint(folder) != before


def test_what_is_not_there_differs_from_what_is(tmp_path: Path) -> None:
    missing = path_fingerprint(tmp_path / "none")
    (tmp_path / "none").mkdir()
    assert len({missing, path_fingerprint(tmp_path / "none"), path_fingerprint(Path("/dev/null"))}) == 3
