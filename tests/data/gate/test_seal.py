"""Whose verdict it is: one that was not given here is given again before anything is trained on the data."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from soda.config import GateConfig
from soda.data.gate.seal import require_own_verdict, sealed_settings
from soda.data.gate.validate import validate
from soda.data.gate.verdict import GateError, sealed
from tests.support.gate import CONFIG
from tests.support.prepared_factory import make_prepared


def judged(folder: Path, *, flat: bool = False) -> tuple[Path, Path]:
    """Prepared data, and the gate's verdict on it; flat: which is that it did not pass."""
    pixels = np.random.default_rng(0).integers(0, 256, (300, 16, 16, 1), dtype=np.uint8)
    if flat:
        pixels[5] = 90
    prepared, verdict = make_prepared(folder / "data/prepared", pixels=pixels), folder / "reports/validation.json"
    try:
        validate(CONFIG, prepared, verdict, folder / "reports/data_docs")
    except GateError:
        assert flat
    return prepared, verdict


def test_a_verdict_of_our_own_is_believed_and_its_key_is_ours_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepared, verdict = judged(tmp_path)
    shutil.rmtree(prepared)  # what is not looked at
    require_own_verdict(prepared, verdict, CONFIG)
    assert not caplog.records
    key = tmp_path / "reports/.gate/key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and len(key.read_bytes()) == 32


def test_an_edited_verdict_with_a_fresh_plain_seal_is_given_again_and_refused(tmp_path: Path) -> None:
    prepared, verdict = judged(tmp_path, flat=True)
    told = json.loads(verdict.read_text())
    assert not told["success"]
    for check in told["checks"]:
        check |= {"success": True, "failing_rows": [], "failing_count": 0}
    verdict.write_text(json.dumps(sealed(told | {"success": True, "failures": []})))
    with pytest.raises(GateError, match=r"(?s)validation\.json: was not given here.*0005\.png.*`soda validate`"):
        require_own_verdict(prepared, verdict, CONFIG)


@pytest.mark.parametrize("lost", ["all", "key", "another clone's"])
def test_a_verdict_made_elsewhere_is_given_again_once(tmp_path: Path, lost: str, caplog: pytest.LogCaptureFixture) -> None:
    prepared, verdict = judged(tmp_path)
    text = verdict.read_bytes()
    if lost == "all":
        shutil.rmtree(verdict.parent / ".gate")
    elif lost == "key":
        (verdict.parent / ".gate/key").unlink()
    else:
        (verdict.parent / ".gate/key").write_bytes(bytes(32))
    assert sealed_settings(verdict) is None
    with caplog.at_level(logging.INFO, "soda.data.gate.seal"):
        require_own_verdict(prepared, verdict, CONFIG)
        assert "made elsewhere (another clone, a backup, `dvc pull`)" in caplog.text and "passed again" in caplog.text
        caplog.clear()
        require_own_verdict(prepared, verdict, CONFIG)
    assert not caplog.records and verdict.read_bytes() == text  # which DVC and Git have a hash of


def test_settings_that_changed_since_ask_for_another_verdict(tmp_path: Path) -> None:
    prepared, verdict = judged(tmp_path)
    stricter: GateConfig = dataclasses.replace(CONFIG, min_train=200, max_imbalance=2.0)
    with pytest.raises(GateError, match=r"other settings than those of now \(gate\.max_imbalance, gate\.min_train\).*FROM=train"):
        require_own_verdict(prepared, verdict, stricter)
    require_own_verdict(prepared, verdict, dataclasses.replace(CONFIG, allow_failure=True))


def test_a_missing_verdict_is_named(tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"validation\.json: there is no verdict"):
        require_own_verdict(tmp_path / "prepared", tmp_path / "validation.json", CONFIG)
