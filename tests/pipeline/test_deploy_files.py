"""The units and the compose file of deploy/ name what there is, and leave nothing open."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.dvc_client import Dvc
from soda.cli import main
from tests.support.scratch_project import PROJECT

UNITS = sorted((PROJECT / "deploy/systemd").glob("*.service"))
COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "deploy/compose.yaml").read_text())


def _unit(path: Path) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path, encoding="utf-8")
    return unit


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_runs_what_there_is_without_privileges(path: Path) -> None:
    unit = _unit(path)
    assert set(unit) == {"DEFAULT", "Unit", "Service", "Install"}
    service = unit["Service"]
    assert service["User"] == "soda" and service["NoNewPrivileges"] == "yes" and service["ProtectSystem"] == "strict"
    assert service["WorkingDirectory"] == "/opt/soda" and service["UMask"] == "0077"
    for module in re.findall(r"-m (flows\.\w+)", service["ExecStart"]):
        assert (PROJECT / f"{module.replace('.', '/')}.py").is_file()
    for other in re.findall(r"[\w-]+\.service", unit["Unit"].get("After", "")):
        assert (path.parent / other).is_file()
    assert all(Path(folder).is_relative_to("/opt/soda") or folder == "/tmp" for folder in service["ReadWritePaths"].split())


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_what_a_unit_may_write_is_there_in_a_fresh_checkout_and_holds_all_that_it_writes(path: Path) -> None:
    """systemd starts no unit whose ReadWritePaths are missing, and everything beside them is read-only."""
    service = _unit(path)["Service"]
    writable = [Path(folder) for folder in service["ReadWritePaths"].split()]
    tracked = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.splitlines()
    for folder in writable:
        if folder.is_relative_to("/opt/soda"):
            assert any(("/opt/soda" / Path(name)).is_relative_to(folder) for name in tracked), folder
    written = re.findall(r"(?:--sample|(?:PREFECT_HOME|DVC_SITE_CACHE_DIR)=)\s*(\S+)", path.read_text())
    assert written
    for name in written:
        assert any(("/opt/soda" / Path(name)).is_relative_to(folder) for folder in writable), name


def test_dvc_keeps_to_the_folder_that_the_workers_unit_gives_it(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "DVC_SITE_CACHE_DIR=/opt/soda/.prefect/dvc" in (PROJECT / "deploy/systemd/soda-worker.service").read_text()
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    with Dvc(project) as dvc:
        assert dvc.changed_stages() == set()
    assert any((tmp_path / "site").rglob("*"))  # and not /var/tmp/dvc


def test_runs_outlive_the_worker_of_systemd() -> None:
    assert _unit(PROJECT / "deploy/systemd/soda-worker.service")["Service"]["KillMode"] == "process"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_itself_finds_no_fault(tmp_path: Path) -> None:
    """With programs and user of this machine: that they exist elsewhere is not the unit's fault."""
    for path in UNITS:
        text = re.sub(r"^ExecStart=.*", "ExecStart=/bin/true", path.read_text(), flags=re.M)
        (tmp_path / path.name).write_text(text.replace("User=soda", "User=root").replace("/opt/soda", "/tmp"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.glob("*.service")))], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_services_of_compose_refer_to_one_another_and_to_files_that_exist() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        assert "image" in service
        if "build" in service:
            context = PROJECT / "deploy" / service["build"]["context"]
            assert (context / service["build"]["dockerfile"]).is_file()
    mounted = {volume.partition(":")[0] for service in services.values() for volume in service["volumes"]}
    assert mounted == {"..", *COMPOSE["volumes"]}
    assert "python -m flows.pool" in services["deploy"]["command"][-1]
    copied = re.findall(r"^COPY (.+) /build/", (PROJECT / "deploy/Dockerfile").read_text(), re.M)
    assert all((PROJECT / name).exists() for line in copied for name in line.split())


def test_nothing_of_compose_is_open_to_others_and_no_secret_is_written_down() -> None:
    text = (PROJECT / "deploy/compose.yaml").read_text()
    for service in COMPOSE["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    secrets = re.findall(r"(?:PASSWORD|AUTH_STRING|TOKEN): (.+?)[},\n]", text)
    assert len(secrets) == 4 and all(re.match(r'"?\$\{\w+:\?', each) for each in secrets)
    ignored = subprocess.run(["git", "check-ignore", "deploy/.env", "releases/x", ".release/k"], cwd=PROJECT, capture_output=True)
    assert ignored.stdout.split() == [b"deploy/.env", b"releases/x", b".release/k"]


def test_the_commands_of_units_and_compose_are_commands(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [_unit(path)["Service"]["ExecStart"] for path in UNITS]
    commands = [shlex.split(line) for line in lines] + [service.get("command", []) for service in COMPOSE["services"].values()]
    served = [command[1:] for command in commands if command and Path(command[0]).name == "soda"]
    assert len(served) == 2
    for command in served:
        with pytest.raises(SystemExit) as stopped:
            main([*command, "--help"])  # every option before it is parsed first
        assert stopped.value.code == 0
    assert "usage: soda serve" in capsys.readouterr().out
