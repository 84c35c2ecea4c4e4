"""The short form of `make chaos`: kills at chosen moments of a run of stand-ins, then the same command once more."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.chaos import processes, world
from benchmarks.chaos.aims import INJECT
from benchmarks.chaos.by_hand import locks
from benchmarks.chaos.misfortunes import cache_deleted, recycled_numbers
from benchmarks.chaos.sameness import Undisturbed
from tests.support.scratch_project import PROJECT

MOMENTS = (
    {"event": "open", "match": r"\.dvc\.lock\.new-", "nth": 1, "after": True},  # half of dvc.lock is written, beside it
    {"event": "os.rename", "match": r"dvc\.lock$", "nth": 1, "after": True},
    {"event": "open", "match": r"\.dvc/tmp/rwlock", "nth": 3, "after": True},  # the stage is locked for writing
)


def _run(project: Path, server: str, **more: str) -> subprocess.CompletedProcess[str]:
    settings = world.environment(project, **{"PREFECT_API_URL": server, "PYTHONPATH": str(PROJECT)} | more)
    command = [*world.command("report"), "--from-stage", "export", "--force"]
    return subprocess.run(command, cwd=project, env=settings, capture_output=True, text=True, check=False, timeout=120)


def test_kills_at_the_worst_moments_are_put_right_by_the_same_command(
    project: Path, finished: Path, prefect_server: str, tmp_path: Path
) -> None:
    for number, moment in enumerate(MOMENTS):
        fired = tmp_path / f"fired{number}"
        aim: dict[str, Any] = {**moment, "fired": str(fired)}
        killed = _run(project, prefect_server, SODA_CHAOS_AT=json.dumps(aim), PYTHONPATH=f"{INJECT}:{PROJECT}")
        assert fired.exists() and killed.returncode != 0, f"{moment}: {killed.stdout[-2000:]}{killed.stderr[-2000:]}"
    with recycled_numbers(project, lambda: (0, "")), cache_deleted(project, lambda: (0, "")):
        done = _run(project, prefect_server)
    assert done.returncode == 0, done.stderr
    assert processes.orphans(project) == [] and locks(project) == []
    assert Undisturbed(finished, finished).differences(project) == []
    record = json.loads((project / ".dvc/tmp/pipeline.json").read_text())
    assert record["unreported"] == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("models/encoder.onnx", b"other", "differs"),
        ("models/more", b"", "one too many"),
        ("models/encoder.onnx", None, "missing"),
    ],
)
def test_a_run_that_left_something_else_is_not_called_recovered(
    name: str, content: bytes | None, said: str, project: Path, finished: Path
) -> None:
    same = Undisturbed(finished, finished)
    assert same.differences(project) == []
    (project / name).unlink(missing_ok=True)
    if content is not None:
        (project / name).write_bytes(content)
    assert len(same.differences(project)) == 1 and said in same.differences(project)[0]


def test_length_and_hash_of_a_file_that_holds_times_are_not_compared(project: Path, finished: Path, tmp_path: Path) -> None:
    one, other = world.copy(finished, tmp_path / "one"), world.copy(finished, tmp_path / "other")
    for place, seconds in ((one, 2.5), (other, 1.5), (project, 11.5)):
        figures = place / "reports/train.json"
        figures.write_text(json.dumps({"seconds": seconds, "images": 256}))
        lock = yaml.safe_load((place / "dvc.lock").read_text())
        (out,) = [each for each in lock["stages"]["train"]["outs"] if each["path"] == "reports/train.json"]
        out |= {"md5": str(seconds), "size": figures.stat().st_size}
        (place / "dvc.lock").write_text(yaml.safe_dump(lock))
    same = Undisturbed(one, other)
    assert same.differences(project) == []
    (project / "reports/train.json").write_text(json.dumps({"seconds": 1.5, "images": 255}))
    assert same.differences(project) == ["reports/train.json differs at /images"]
