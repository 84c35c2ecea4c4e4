"""The versions with their hashes: of these constraints, and taken by pip, which refuses another file."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.scratch_project import PROJECT

FILES = sorted(PROJECT.glob("deploy/requirements-*.txt"))


@pytest.fixture(scope="module")
def hashes() -> ModuleType:
    """deploy/hashes.py, which is no package."""
    spec = importlib.util.spec_from_file_location("hashes", PROJECT / "deploy/hashes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_line_has_a_version_of_constraints_and_a_hash(file: Path, hashes: ModuleType) -> None:
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) > 200 and all(len(line.partition("==")[2].partition(" --hash=sha256:")[2]) == 64 for line in lines)
    assert hashes.differing(file.read_text()) == []
    assert hashes.differing(file.read_text().replace("numpy==2", "numpy==1"))


def test_what_pip_reports_is_listed_without_the_project_and_a_foreign_version_is_refused(hashes: ModuleType) -> None:
    def report(**packages: str) -> dict[str, object]:
        about = {"archive_info": {"hashes": {"sha256": "0" * 64}}}
        return {"install": [{"metadata": {"name": n, "version": v}, "download_info": about} for n, v in packages.items()]}

    listed = hashes.listed(report(soda_encoder="0.1.0", Some_Package="1.0"))
    assert listed.splitlines()[1:] == [f"some-package==1.0 --hash=sha256:{'0' * 64}"]
    with pytest.raises(SystemExit, match="numpy"):
        hashes.listed(report(numpy="1.0"))


def test_pip_takes_the_file_that_was_named_and_no_other(tmp_path: Path) -> None:
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as made:
        made.writestr("thing.py", "")
        made.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        made.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        made.writestr("thing-1.0.dist-info/RECORD", "")
    asked = tmp_path / "requirements.txt"
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--find-links", str(tmp_path), "--no-deps", "-q"]
    pip += ["--require-hashes", "--target", str(tmp_path / "there"), "-r", str(asked)]
    for digest, status in ((hashlib.sha256(wheel.read_bytes()).hexdigest(), 0), ("0" * 64, 1)):
        asked.write_text(f"thing==1.0 --hash=sha256:{digest}\n")
        answer = subprocess.run(pip, capture_output=True, text=True, check=False)
        assert answer.returncode == status, answer.stderr
    assert "HASHES" in answer.stderr.upper() and (tmp_path / "there/thing.py").exists()
