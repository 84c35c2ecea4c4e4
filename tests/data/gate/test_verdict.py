"""Nothing gets round the gate: only data that the verdict was given on, unaltered, may be trained on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from soda.data.gate.verdict import GateError, read_verdict, require_verdict, sealed
from tests.support.prepared_factory import make_prepared, read_manifest, sha256_of, write_manifest


def write_verdict(path: Path, prepared: Path, **changes: Any) -> Path:
    verdict = {
        "success": True,
        "allowed": False,
        "dataset": "folder",
        "data_version": sha256_of(prepared / "manifest.parquet"),
        "summary_sha256": sha256_of(prepared / "summary.json"),
        "rows": 60,
        "checks": [],
        "failures": [],
    }
    path.write_text(json.dumps(sealed(verdict | changes)))
    return path


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    return make_prepared(tmp_path / "prepared")


@pytest.fixture
def verdict(tmp_path: Path, prepared: Path) -> Path:
    return write_verdict(tmp_path / "validation.json", prepared)


def test_a_success_on_this_data_is_returned(prepared: Path, verdict: Path) -> None:
    assert require_verdict(prepared, verdict, allow_failure=False)["success"] is True


def test_a_success_with_a_remark_is_one(prepared: Path, tmp_path: Path) -> None:
    checks = [{"name": "near copies", "success": False, "severity": "remark"}]
    path = write_verdict(tmp_path / "v.json", prepared, checks=checks, remarks=["Two are alike."])
    assert require_verdict(prepared, path, allow_failure=False)["remarks"] == ["Two are alike."]


def test_a_failure_is_refused_with_its_reasons(prepared: Path, tmp_path: Path) -> None:
    verdict = write_verdict(tmp_path / "v.json", prepared, success=False, failures=["Pictures of one colour: 1 (a.png)."])
    with pytest.raises(GateError, match=r"v\.json(.|\n)*Pictures of one colour: 1 \(a\.png\)(.|\n)*gate\.allow_failure=true"):
        require_verdict(prepared, verdict, allow_failure=False)


def test_an_allowed_failure_may_be_trained_on(prepared: Path, tmp_path: Path) -> None:
    verdict = write_verdict(tmp_path / "v.json", prepared, success=False, allowed=True, failures=["x"])
    assert require_verdict(prepared, verdict, allow_failure=True)["allowed"] is True
    with pytest.raises(GateError, match=r"gate\.allow_failure=true"):  # a permission that was taken back
        require_verdict(prepared, verdict, allow_failure=False)


@pytest.mark.parametrize("edit", ["success", "check", "severity", "failures", "rows", "suite", "no seal"])
def test_an_edited_verdict_is_refused(prepared: Path, tmp_path: Path, edit: str) -> None:
    checks = [{"name": "unique", "success": False}, {"name": "labels", "success": True}]
    path = write_verdict(tmp_path / "v.json", prepared, success=False, failures=["x"], checks=checks, suite_sha256="a")
    told = json.loads(path.read_text()) | {"success": True}
    if edit != "success":  # somebody who edits more than the one word
        told["checks"][0]["success"], told["failures"] = True, []
    if edit == "check":
        told["checks"][0]["success"] = "true"
    elif edit == "severity":
        told["checks"][0] |= {"success": False, "severity": "remark"}
    elif edit == "failures":
        told["failures"] = ["x"]
    elif edit == "rows":
        told["rows"] += 1
    elif edit == "suite":
        told["suite_sha256"] = "b"
    elif edit == "no seal":
        del told["seal"]
    path.write_text(json.dumps(told))
    with pytest.raises(GateError, match=r"v\.json.*`soda validate` again"):
        require_verdict(prepared, path, allow_failure=True)


@pytest.mark.parametrize("allowed", [False, True])
def test_a_manifest_edited_after_the_verdict_is_refused(prepared: Path, tmp_path: Path, allowed: bool) -> None:
    verdict = write_verdict(tmp_path / "v.json", prepared, success=not allowed, allowed=allowed)
    manifest = read_manifest(prepared)
    manifest.loc[0, "label"] = "zebra"
    write_manifest(prepared, manifest)
    with pytest.raises(GateError, match=r"manifest\.parquet"):
        require_verdict(prepared, verdict, allow_failure=True)


def test_a_manifest_edited_before_the_verdict_is_refused_too(prepared: Path, tmp_path: Path) -> None:
    manifest = read_manifest(prepared)
    manifest.loc[0, "label"] = "zebra"
    write_manifest(prepared, manifest)
    verdict = write_verdict(tmp_path / "v.json", prepared, success=False, allowed=True)
    with pytest.raises(GateError, match=r"manifest\.parquet: altered since it was prepared"):
        require_verdict(prepared, verdict, allow_failure=True)


def test_a_changed_summary_is_refused(prepared: Path, verdict: Path) -> None:
    path = prepared / "summary.json"
    path.write_text(path.read_text().replace('"resize": "crop"', '"resize": "stretch"'))
    with pytest.raises(GateError, match=r"summary\.json: changed"):
        require_verdict(prepared, verdict, allow_failure=True)


@pytest.mark.parametrize("damage", ["truncated", "altered", "missing"])
def test_a_damaged_shard_is_refused(prepared: Path, verdict: Path, damage: str) -> None:
    path = prepared / "shards" / "00001.npy"
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(data[:-7])
    elif damage == "altered":
        data[-1] ^= 1
        path.write_bytes(data)
    else:
        path.unlink()
    with pytest.raises(GateError, match=r"00001\.npy"):
        require_verdict(prepared, verdict, allow_failure=True)


@pytest.mark.parametrize("text", [None, "{", "[]", '{"success": true}', '{"success": "yes"}'])
def test_what_is_no_verdict_names_the_file(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "validation.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(GateError, match=r"validation\.json.*soda validate"):
        read_verdict(path)


def test_prepared_data_that_is_gone_is_refused(tmp_path: Path, prepared: Path, verdict: Path) -> None:
    (prepared / "manifest.parquet").unlink()
    with pytest.raises(GateError, match=r"manifest\.parquet: cannot be read"):
        require_verdict(prepared, verdict, allow_failure=True)


def test_training_does_not_load_great_expectations() -> None:
    loaded = "import sys, soda.data.gate.verdict, soda.data.gate.validate"
    code = f"{loaded}; assert not {{'great_expectations', 'torch'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
