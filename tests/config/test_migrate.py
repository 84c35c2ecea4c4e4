"""Settings of older model folders: complete again, as they were before there was a choice."""

from __future__ import annotations

from dataclasses import is_dataclass, replace
from typing import Any

import pytest
import yaml

from soda.config import ConfigError, from_dict, migrate, to_dict
from soda.config.validated import Before
from tests.support.settings import DEFAULT, ROOT


def test_an_old_file_is_read_as_it_was_meant() -> None:
    old = to_dict(DEFAULT)
    for group, keys in {
        "gate": ["factors", "held_apart", "min_views"],
        "views": ["pairs", "recolour"],
        "model": ["cameras"],
        "diffusion": ["time_draw", "time_power", "logsnr_mean", "logsnr_std", "floor_share"],
        "evaluate": ["view_targets", "view_samples"],
        "train": ["init", "teacher"],
        "export": [key for key in old["export"] if key not in ("opset", "parity_images", "max_abs_diff")],
    }.items():
        for key in keys:
            del old[group][key]
    before = yaml.safe_dump(old)
    was = replace(DEFAULT, export=replace(DEFAULT.export, features=False))
    assert from_dict(migrate(old)) == was and yaml.safe_dump(old) == before
    old["views"]["pairs"] = {"by": "column", "column": "label"}
    pairs = from_dict(migrate(old)).views.pairs
    assert (pairs.by, pairs.column, pairs.sources) == ("column", "label", 1)


def test_a_whole_file_stays_as_it_is() -> None:
    posed = {**to_dict(DEFAULT), "views": {**to_dict(DEFAULT)["views"], "recolour": 0.5}}
    assert migrate(posed) == posed


def _older(settings: Any) -> dict[str, Any]:
    """Settings without those that came later and are as they were before."""
    said = {}
    for name, field in settings.__pydantic_fields__.items():
        value = getattr(settings, name)
        value = _older(value) if is_dataclass(value) else value
        if value not in [mark.value for mark in field.metadata if isinstance(mark, Before)]:
            said[name] = value
    return said


@pytest.mark.parametrize("folder", sorted(path.name for path in (ROOT / "zoo").iterdir() if path.is_dir()))
def test_every_shipped_model_is_read(folder: str) -> None:
    values = yaml.safe_load((ROOT / "zoo" / folder / "config.yaml").read_text())
    config = from_dict(migrate(values))
    assert all(to_dict(config)[group][key] == value for group in values for key, value in values[group].items())
    older = _older(config)
    assert len(older["export"]) < len(values["export"]) and from_dict(migrate(older)) == config


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (None, "mapping"),
        ({}, "dataset: .*missing"),
        ({**to_dict(DEFAULT), "train": {}}, r"train\.images: .*missing"),
        ({**to_dict(DEFAULT), "gate": 3}, "gate: 3"),
    ],
)
def test_what_else_is_wrong_is_said(broken: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        from_dict(migrate(broken))
