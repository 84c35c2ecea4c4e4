"""One walk of folders: what a person put there, and not what other programs left."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from soda.runtime import pictures_in
from soda.runtime.walk import Passed

RUBBISH = [
    *("@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "#recycle/b.jpg", "#snapshot/c.jpg", "@Recycle/d.jpg", "@Recently-Snapshot/e.jpg"),
    *("$RECYCLE.BIN/S-1-5/f.jpg", "System Volume Information/g.jpg", "lost+found/i.jpg", "__MACOSX/j.jpg", "found.012/u.jpg"),
    *("RECYCLER/S-1-5-21/h.jpg", "b/Recycled/INFO2", "b/Recycled/DC1.jpg", "Recycle Bin/v.jpg", "@SynoResource/w.jpg"),
    *("@snapshot/x.jpg", "~snapshot/y.jpg", "~$z.jpg", "iPhoto Library/Thumbs/0.jpg", "@__qini/1.jpg", "@Trash/2.jpg"),
    *(".Trash-1000/files/k.jpg", ".thumbnails/l.png", ".git/m.png", ".hidden/n.jpg", ".Spotlight-V100/o.jpg", ".@__thumb/p.jpg"),
    *("._a.jpg", ".DS_Store", "2020/Catalog Previews.lrdata/0/q.jpg", "2020/Catalog Smart Previews.lrdata/r.jpg"),
    *("Mine.photoslibrary/resources/derivatives/s.jpg", "Old.photolibrary/Thumbnails/t.jpg"),
]
PICTURES = [
    "a.jpg",
    "2020/b.PNG",
    "#holiday/c.jpg",
    "@work/d.jpg",
    "_drafts/e.jpg",
    "$/f.jpg",
    "Mine.photoslibrary/originals/0/g.jpg",
    "iPhoto Library/Masters/h.jpg",
    "recycled/bottle/i.jpg",  # a class of waste
    "found/j.jxl",
]


def lay(root: Path, names: list[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_what_other_programs_keep_is_passed_over_and_counted(tmp_path: Path) -> None:
    passed = Passed()
    lay(tmp_path, [*RUBBISH, *PICTURES, "notes.txt", "Thumbs.db"])
    assert list(pictures_in(tmp_path, passed=passed)) == sorted(PICTURES)
    assert passed.others == {".txt": 1, ".db": 1} and passed.programs["@eaDir"] == 1 and passed.programs["._*"] == 1
    # Whoever names such a folder means it.
    assert list(pictures_in(tmp_path / "#recycle")) == ["b.jpg"]


def test_what_there_was_instead_of_a_picture_is_said(tmp_path: Path) -> None:
    assert str(Passed()) == ""
    passed = Passed()
    assert not list(pictures_in(lay(tmp_path, ["a.CR2", "b.cr2", "c.txt", "README", "@eaDir/d.jpg"]), passed=passed))
    assert str(passed).startswith("; 4 other files are in it (2 .cr2, 1 ")
    assert "1 without an ending" in str(passed) and str(passed).endswith("passed over, as hidden or of other programs: 1 @eaDir")


def test_linked_folders_are_entered_each_real_folder_once_and_by_its_own_name(tmp_path: Path) -> None:
    root, disk = lay(tmp_path / "root", ["real/a.jpg", ".store/b.jpg"]), lay(tmp_path / "disk", ["deep/c.jpg"])
    (root / "1 link to real").symlink_to(root / "real")
    (root / "2 link to what is hidden").symlink_to(root / ".store")
    (root / "3 disk").symlink_to(disk)
    (root / "4 disk again").symlink_to(disk)
    (disk / "loop").symlink_to(root)
    (root / "round").symlink_to(root / "round")
    (root / "5 link.jpg").symlink_to(disk / "deep/c.jpg")
    wanted = ["2 link to what is hidden/b.jpg", "3 disk/deep/c.jpg", "5 link.jpg", "real/a.jpg"]
    assert list(pictures_in(root)) == wanted


def test_no_temporary_file_is_needed_for_few_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container there may be no place where one may be written."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert list(pictures_in(lay(tmp_path / "root", PICTURES))) == sorted(PICTURES)


def test_a_folder_that_cannot_be_listed_is_for_the_caller_to_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path, ["a.jpg", "locked/b.jpg"])
    scan, met = os.scandir, []

    def guarded(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("soda.runtime.walk.os.scandir", guarded)
    assert list(pictures_in(tmp_path, onerror=met.append)) == ["a.jpg"] and len(met) == 1
