"""The committed params.yaml is what conf/ composes: an edit in conf/ alone would be ignored by every stage."""

from __future__ import annotations

from pathlib import Path

from soda.config import compose, load, write_params
from tests.support.scratch_project import PROJECT


def test_params_yaml_is_what_conf_composes(tmp_path: Path) -> None:
    write_params(compose([], PROJECT / "conf"), tmp_path / "params.yaml")
    committed, composed = (PROJECT / "params.yaml").read_text(), (tmp_path / "params.yaml").read_text()
    assert committed == composed, "run `soda compose` and commit params.yaml"


def test_params_yaml_is_a_valid_configuration() -> None:
    assert load(PROJECT / "params.yaml").dataset.name == "fashion_mnist"
