"""The committed params.yaml is what conf/ composes: an edit in conf/ alone would be ignored by every stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from soda.config import compose, load, write_params
from tests.pipeline.conftest import PROJECT


def test_params_yaml_is_what_conf_composes(tmp_path: Path) -> None:
    write_params(compose([], PROJECT / "conf"), tmp_path / "params.yaml")
    committed, composed = (PROJECT / "params.yaml").read_text(), (tmp_path / "params.yaml").read_text()
    assert committed == composed, "run `soda compose` and commit params.yaml"


def test_params_yaml_is_a_valid_configuration() -> None:
    assert load(PROJECT / "params.yaml").dataset.name == "fashion_mnist"


def _rounds() -> list[list[str]]:
    """Every choice of every group, one of each group at a time: composing takes a second."""
    groups = [sorted(group.glob("*.yaml")) for group in sorted((PROJECT / "conf").iterdir()) if group.is_dir()]
    choices = [[f"{path.parent.name}={path.stem}" for path in group if path.stem != "base"] for group in groups]
    return [[group[turn % len(group)] for group in choices if group] for turn in range(max(map(len, choices)))]


@pytest.mark.parametrize("choices", _rounds(), ids=" ".join)
def test_every_choice_composes(choices: list[str]) -> None:
    composed = compose([*choices, "dataset.path=somewhere", "dataset.image_size=64"], PROJECT / "conf")
    assert set(composed) == {"dataset", "gate", "views", "model", "diffusion", "train", "evaluate", "export"}
