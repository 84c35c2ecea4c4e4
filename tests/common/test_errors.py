"""What a person can cause is one line; a bug keeps its traceback."""

from __future__ import annotations

import errno
import importlib
import pkgutil
from pathlib import Path

import pytest

import flows
import soda
from soda import cli
from soda.common.errors import InputError, NotInstalledError, SodaError, is_expected
from soda.common.files import whole_file


def test_every_error_of_the_project_has_the_one_base_class() -> None:
    for package in (soda, flows):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    mine, left = [], [Exception]
    while left:
        left += (found := left.pop().__subclasses__())
        mine += [each for each in found if each.__module__.startswith(("soda.", "flows.")) and each.__name__.endswith("Error")]
    assert len(mine) > 30
    assert [each for each in mine if not issubclass(each, SodaError)] == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InputError("cut: 9 is not possible"), True),
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (PermissionError(errno.EACCES, "Permission denied", "models"), True),
        (NotInstalledError("needs usearch: pip install '.[search]'", name="usearch"), True),
        (ModuleNotFoundError("No module named 'yaml'", name="yaml"), True),
        (ModuleNotFoundError("No module named 'soda.gone'", name="soda.gone"), False),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), False),
        (ValueError("operands could not be broadcast together"), False),
        (KeyError("x"), False),
    ],
)
def test_only_what_a_person_can_put_right_is_expected(error: Exception, expected: bool) -> None:
    assert is_expected(error) is expected


def test_a_command_says_one_line_and_ends_with_the_errors_own_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        cli.main(["report"])
    assert left.value.code == 1
    assert capsys.readouterr().err == "soda report: params.yaml: no such file; make it with `soda compose`\n"
    with pytest.raises(SodaError):
        cli.main(["--debug", "report"])


def test_a_name_that_leads_through_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("kept")
    with pytest.raises(SodaError, match="a/b: cannot be written"), whole_file(tmp_path / "a" / "b"):
        raise AssertionError
    (tmp_path / "folder").mkdir()
    with pytest.raises(SodaError, match="folder: cannot be written"), whole_file(tmp_path / "folder") as temporary:
        temporary.touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "folder"]
