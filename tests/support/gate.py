"""The gate over made-up pictures, with the versions that it accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from soda.config import compose, from_dict
from soda.data.gate.validate import validate
from soda.data.gate.verdict import GateError
from tests.support.prepared_factory import make_prepared
from tests.support.settings import ROOT

CONFIG = from_dict(compose(["dataset=folder", "dataset.path=x"], ROOT / "conf")).gate


def judge(tmp_path: Path, pixels: np.ndarray, name: str, **settings: Any) -> tuple[dict[str, Any], str]:
    message = ""
    prepared = make_prepared(tmp_path / name, pixels=pixels, **settings)
    try:
        validate(CONFIG, prepared, tmp_path / f"{name}.json", tmp_path / "docs", tmp_path / "accepted")
    except GateError as error:
        message = str(error)
    return json.loads((tmp_path / f"{name}.json").read_text()), message
