"""A release: made only where it is better, tagged as GTO and DVC read it, signed, and left again within seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from soda.config import ConfigError
from soda.release import NotBetterError, OtherDataError, ReleasedAlreadyError, ReleaseError
from soda.release.bundle import Candidate, judge, make, require_recorded
from soda.release.gates import Bounds, read_bounds
from soda.release.registry import assign, commit, in_use, register, tagged
from soda.release.sbom import bill
from soda.release.signing import make_key
from soda.release.store import held, next_version, point_back, point_to, read_pointer, versions
from tests.support.scratch_project import PROJECT, repro

FIGURES: dict[str, Any] = {
    "probe": {"linear_top1": 0.88, "knn_top1": 0.89},
    "reconstruction": {"psnr": 23.0},
    "export": {"bytes": 2_000_000, "onnx_ms_1": 0.3, "onnx_ms_64": 8.0, "min_cosine": 0.9999, "max_abs_diff": 1e-5},
}


@pytest.fixture(scope="module")
def bounds() -> Bounds:
    return read_bounds(PROJECT / "conf/release.yaml")


def figures(**changes: float | None) -> dict[str, Any]:
    """FIGURES with changes such as probe__linear_top1=0.9; None takes a figure away."""
    changed = {part: dict(group) for part, group in FIGURES.items()}
    for key, value in changes.items():
        part, _, name = key.partition("__")
        changed[part] |= {name: value}
        if value is None:
            del changed[part][name]
    return changed


def candidate(folder: Path, content: bytes, metrics: dict[str, Any]) -> Candidate:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "encoder.onnx").write_bytes(content)
    files = {"encoder.onnx": folder / "encoder.onnx"}
    return Candidate(files, metrics, lambda version: f"# The card of {version}\n", {"dataset": "scratch", "made": "2026-01-01"})


def released(releases: Path, key: Path, folder: Path, bounds: Bounds, content: bytes, **changes: float | None) -> str:
    made = candidate(folder, content, figures(**changes))
    judged = judge(made, releases, bounds)
    make(made, judged, releases, key)
    point_to(releases, judged.version)
    return judged.version


@pytest.fixture
def places(tmp_path: Path, bounds: Bounds) -> tuple[Path, Path, Path]:
    """A folder of releases with the first in it, the key, and a folder for candidates."""
    key = tmp_path / "signing.key"
    make_key(key)
    released(tmp_path / "releases", key, tmp_path / "new", bounds, b"one")
    return tmp_path / "releases", key, tmp_path / "new"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, "probe.linear_top1"),  # as good is not better
        ({"probe__linear_top1": 0.87}, "probe.linear_top1"),
        ({"probe__linear_top1": 0.9, "probe__knn_top1": 0.8}, "probe.knn_top1"),
        ({"probe__linear_top1": 0.9, "reconstruction__psnr": 22.0}, "reconstruction.psnr"),
        ({"probe__linear_top1": 0.9, "reconstruction__psnr": None}, "reconstruction.psnr"),
        ({"probe__linear_top1": 0.9, "export__min_cosine": 0.99}, "export.min_cosine"),
        ({"probe__linear_top1": 0.9, "export__bytes": 3_000_000}, "export.bytes"),
        ({"probe__linear_top1": 0.9, "export__onnx_ms_64": 13.0}, "export.onnx_ms_64"),
    ],
)
def test_what_is_not_better_in_every_way_is_not_released(
    places: tuple[Path, Path, Path], bounds: Bounds, changes: dict[str, float | None], named: str
) -> None:
    releases, _, folder = places
    with pytest.raises(NotBetterError) as refused:
        judge(candidate(folder, b"two", figures(**changes)), releases, bounds)
    stopped = [line for line in str(refused.value).splitlines() if "NOT PASSED" in line]
    assert len(stopped) >= 1 and all(named in line for line in stopped) and "beside v1.0.0" in str(refused.value)


def test_without_labels_retrieval_decides(tmp_path: Path, bounds: Bounds) -> None:
    key, releases = tmp_path / "key", tmp_path / "releases"
    make_key(key)
    bare: dict[str, float | None] = {"probe__linear_top1": None, "probe__knn_top1": None}
    released(releases, key, tmp_path / "new", bounds, b"one", export__search_z=0.8, **bare)
    with pytest.raises(NotBetterError, match="search_z"):
        judge(candidate(tmp_path / "new", b"two", figures(export__search_z=0.79, **bare)), releases, bounds)
    assert released(releases, key, tmp_path / "new", bounds, b"two", export__search_z=0.81, **bare) == "v1.1.0"


def test_another_data_set_is_refused_unless_told(places: tuple[Path, Path, Path], bounds: Bounds) -> None:
    releases, _, folder = places
    made = candidate(folder, b"two", figures(probe__linear_top1=0.1))
    other = Candidate(made.files, made.metrics, made.card, {"dataset": "avatars"})
    with pytest.raises(OtherDataError, match="of the data set scratch, this encoder of avatars"):
        judge(other, releases, bounds)
    assert judge(other, releases, bounds, other_data=True).version == "v1.1.0"


def test_like_is_held_against_like_when_the_pictures_are_others(places: tuple[Path, Path, Path], bounds: Bounds) -> None:
    """0.5 is worse than what the released encoder had on its own pictures, and better than what it has on these."""
    releases, _, folder = places
    made = candidate(folder, b"two", figures(probe__linear_top1=0.5, probe__knn_top1=0.5))
    later = Candidate(made.files, made.metrics, made.card, {**made.about, "data_version": "later"})
    asked = []

    def score(release: Path) -> dict[str, Any]:
        asked.append(release.name)
        return {"probe": {"linear_top1": 0.45, "knn_top1": 0.45}}

    with pytest.raises(NotBetterError):
        judge(later, releases, bounds)
    with pytest.raises(NotBetterError):
        judge(made, releases, bounds, score=score)  # the same pictures
    assert asked == []
    gates = {gate.key: gate for gate in judge(later, releases, bounds, score=score).gates}
    assert asked == ["v1.0.0"] and gates["probe.linear_top1"].current == 0.45
    assert gates["export.bytes"].current is not None and "reconstruction.psnr" not in gates


def test_the_first_release_is_held_to_the_bounds_that_need_no_other(tmp_path: Path, bounds: Bounds) -> None:
    with pytest.raises(NotBetterError, match="min_cosine"):
        judge(candidate(tmp_path, b"one", figures(export__min_cosine=0.5)), tmp_path / "releases", bounds)


def test_wrong_bounds_are_named(tmp_path: Path) -> None:
    (tmp_path / "bounds.yaml").write_text("quality: []\nmust_gain: 0\ngates:\n  - {key: a.b, better: larger, slack: 0}\n")
    with pytest.raises(ConfigError, match=r"gates\.0\.better"):
        read_bounds(tmp_path / "bounds.yaml")


def test_the_way_back_leads_to_what_was_in_use_and_not_to_what_was_left(places: tuple[Path, Path, Path], bounds: Bounds) -> None:
    releases, key, folder = places
    for number, content in enumerate((b"two", b"three"), start=1):
        released(releases, key, folder, bounds, content, probe__linear_top1=0.88 + number / 100)
    assert versions(releases) == ["v1.0.0", "v1.1.0", "v1.2.0"]
    assert point_back(releases) == ("v1.2.0", "v1.1.0") and point_back(releases) == ("v1.1.0", "v1.0.0")
    assert read_pointer(releases).withdrawn == ("v1.1.0", "v1.2.0")
    with pytest.raises(ReleaseError, match="no release before"):
        point_back(releases)
    with pytest.raises(ReleasedAlreadyError, match=r"rollback --to v1\.2\.0"):
        judge(candidate(folder, b"three", figures(probe__linear_top1=0.99)), releases, bounds)
    assert point_back(releases, "v1.2.0") == ("v1.0.0", "v1.2.0")
    assert point_back(releases)[1] == "v1.0.0"
    assert released(releases, key, folder, bounds, b"four", probe__linear_top1=0.95) == "v1.3.0"
    with pytest.raises(ReleaseError, match=r"there is no release 'v9\.0\.0'"):
        point_back(releases, "v9.0.0")


def test_versions_grow_and_one_release_is_made_at_a_time(tmp_path: Path) -> None:
    assert next_version([], "minor") == "v1.0.0"
    known = ["v1.2.9", "v1.10.0", "v0.9.9"]
    assert [next_version(known, part) for part in ("major", "minor", "patch")] == ["v2.0.0", "v1.11.0", "v1.10.1"]
    with held(tmp_path), pytest.raises(ReleaseError, match="another release"), held(tmp_path):
        pass


def test_a_release_that_was_killed_before_it_was_in_use_is_finished(places: tuple[Path, Path, Path], bounds: Bounds) -> None:
    releases, key, folder = places
    better = candidate(folder, b"two", figures(probe__linear_top1=0.9))
    make(better, judge(better, releases, bounds), releases, key)
    again = judge(better, releases, bounds)
    assert again.version == "v1.1.0" and again.folder == releases / "v1.1.0"
    assert make(better, again, releases, key) == releases / "v1.1.0" and versions(releases) == ["v1.0.0", "v1.1.0"]


def test_the_bill_of_materials_has_every_package_once_and_the_files() -> None:
    made = bill({"encoder.onnx": PROJECT / "zoo/fashion_mnist/encoder.onnx"})
    names = [each["name"] for each in made["components"]]
    assert {"numpy", "onnxruntime", "torch", "prefect", "dvc", "encoder.onnx"} <= set(names) and len(names) == len(set(names))
    references = {each["bom-ref"] for each in made["components"]} | {made["metadata"]["component"]["bom-ref"]}
    assert {other for each in made["dependencies"] for other in each["dependsOn"]} <= references
    assert made["specVersion"] == "1.6" and json.loads(json.dumps(made)) == made == bill(
        {"encoder.onnx": PROJECT / "zoo/fashion_mnist/encoder.onnx"}
    )


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_git_has_the_release_as_gto_and_dvc_read_it(tmp_path: Path) -> None:
    project = tmp_path / "a project"
    (project / "models").mkdir(parents=True)
    (project / "reports").mkdir()
    _git(project, "init", "-q")
    Repo.init(str(project)).close()
    (project / ".gitignore").write_text("/models/\n")
    (project / "dvc.yaml").write_text(
        "stages:\n  export:\n    cmd: cp source models/encoder.onnx && cp source reports/metrics.json\n    deps: [source]\n"
        "    outs: [models/encoder.onnx, reports/metrics.json: {cache: false}]\n"
        "artifacts:\n  encoder: {path: models/encoder.onnx, type: model}\n"
    )
    (project / "source").write_text("one")
    _git(project, "add", "-A")
    _git(project, "commit", "-qm", "begun")
    head = _git(project, "rev-parse", "HEAD")
    for version, content in (("v1.0.0", "one"), ("v1.1.0", "two")):
        (project / "source").write_text(content)
        repro(project)
        require_recorded(project)
        made = commit(project, project, version, {"README.md": b"the card"})
        register(project, version, made, "gates")
        assign(project, version, "in use")
    assert _git(project, "rev-parse", "HEAD") == head and tagged(project) == ["v1.0.0", "v1.1.0"]
    assert _git(project, "show", "encoder@v1.1.0:release/README.md") == "the card"
    assert in_use(project) == "v1.1.0"
    assign(project, "v1.0.0", "back")  # as a way back does
    assert in_use(project) == "v1.0.0" and "encoder#prod" in _git(project, "tag")
    wanted = (["--rev", "v1.0.0"], "one"), (["--rev", "v1.1.0"], "two"), (["--stage", "prod"], "one")
    for number, (chosen, content) in enumerate(wanted):
        got = tmp_path / str(number)
        command = [sys.executable, "-m", "dvc", "artifacts", "get", str(project), "encoder", *chosen, "-o", str(got)]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        assert got.read_text() == content, chosen
    (project / "models/encoder.onnx").chmod(0o644)
    (project / "models/encoder.onnx").unlink()
    (project / "models/encoder.onnx").write_text("three")
    with pytest.raises(ReleaseError, match=r"not what dvc\.lock has"):
        require_recorded(project)
