"""dvc.lock and params.yaml come through a kill at any byte of their writing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from soda.common.safekeeping import KEPT, keep_copies, mend
from tests.support.settings import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".dvc").mkdir()
    for name in ("dvc.lock", "dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_a_lock_cut_anywhere_comes_back_whole(project: Path) -> None:
    lock = project / "dvc.lock"
    before = yaml.safe_load(lock.read_text())
    keep_copies(project)
    after = yaml.safe_load(lock.read_text())
    after["stages"]["train"]["outs"][0]["md5"] = "0" * 32 + ".dir"  # what DVC was writing when it was killed
    text = yaml.safe_dump(after, sort_keys=False)
    passed_train = text.index("\n  evaluate:")
    ends = [at for at, character in enumerate(text) if character == "\n"]
    for end in {0, passed_train - 1, passed_train + 1, *ends[5::50], ends[90] - 3, ends[90] + 1}:
        lock.write_text(text[:end])
        keep_copies(project)  # a stage that is started by hand meanwhile keeps nothing that is cut
        said = mend(project)
        mended = yaml.safe_load(lock.read_text())
        assert said, text[:end][-300:]
        assert mended == (after if end > passed_train else before), text[:end][-300:]
        assert mend(project) == []
    lock.write_text(text)
    assert mend(project) == [] and lock.read_text() == text


def test_settings_that_were_cut_come_back_and_changed_ones_stay(project: Path) -> None:
    params = project / "params.yaml"
    whole = params.read_text()
    keep_copies(project)
    for end in (0, 20, *range(len(whole) // 2, len(whole), 997), *range(len(whole) - 40, len(whole) - 1)):
        params.write_text(whole[:end])
        keep_copies(project)  # a stage that is started by hand meanwhile
        assert "params.yaml: cut off" in mend(project)[0] and params.read_text() == whole, whole[:end][-100:]
    assert (project / "params.yaml.broken").read_text() == whole[: len(whole) - 2]
    first = whole.index("\n")
    for mine in (
        whole + "# mine\n",
        whole[:-1],
        whole[:first] + whole[whole.index("\n", first + 1) :],
        whole.replace("\ntrain:\n", "\ntrain:\n  mine: 1\n")[:-1],
    ):
        params.write_text(mine)
        assert mend(project) == [] and params.read_text() == mine


def test_a_cut_of_settings_that_were_being_changed_is_seen_too(project: Path) -> None:
    params = project / "params.yaml"
    keep_copies(project)
    settings = yaml.safe_load(params.read_text())
    settings["train"]["batch_size"] = 77
    text = yaml.safe_dump(settings, sort_keys=False)
    ends = [at + 1 for at, character in enumerate(text) if character == "\n"]
    for end in ends[:-1][::9] + ends[-6:-1]:
        params.write_text(text[:end])
        assert mend(project), text[:end][-100:]
    params.write_text(text)
    assert mend(project) == []


def test_what_a_person_takes_away_stays_away(project: Path) -> None:
    keep_copies(project)
    (project / "dvc.lock").unlink()
    assert mend(project) == [] and not (project / "dvc.lock").exists()
    keep_copies(project)
    assert not (project / KEPT / "dvc.lock").exists()
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())
    del lock["stages"]["train"]
    (project / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))  # DVC writes stage by stage
    assert mend(project) == []


def test_a_lock_without_a_copy_is_set_aside(project: Path) -> None:
    (project / "dvc.lock").write_text("")
    assert "there is no copy" in mend(project)[0]
    assert not (project / "dvc.lock").exists() and (project / "dvc.lock.broken").exists()


def test_outside_a_project_nothing_is_kept(tmp_path: Path) -> None:
    keep_copies(tmp_path)
    assert list(tmp_path.iterdir()) == []
