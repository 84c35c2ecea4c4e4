"""Settings of older model folders: complete again, as they were before there was a choice."""

from __future__ import annotations

import pytest
import yaml

from soda.config import ConfigError, from_dict, migrate, to_dict
from tests.support.settings import DEFAULT, ROOT


def test_an_old_file_is_read_as_it_was_meant() -> None:
    old = to_dict(DEFAULT)
    for group, keys in {
        "gate": ["factors", "held_apart", "min_views"],
        "views": ["pairs", "recolour"],
        "model": ["cameras"],
        "diffusion": ["time_draw", "time_power", "logsnr_mean", "logsnr_std", "floor_share"],
        "evaluate": ["view_targets", "view_samples"],
        "export": [key for key in old["export"] if key not in ("opset", "parity_images", "max_abs_diff")],
    }.items():
        for key in keys:
            del old[group][key]
    before = yaml.safe_dump(old)
    assert from_dict(migrate(old)) == DEFAULT and yaml.safe_dump(old) == before
    old["views"]["pairs"] = {"by": "column", "column": "label"}
    pairs = from_dict(migrate(old)).views.pairs
    assert (pairs.by, pairs.column, pairs.sources) == ("column", "label", 1)


def test_a_whole_file_stays_as_it_is() -> None:
    posed = {**to_dict(DEFAULT), "views": {**to_dict(DEFAULT)["views"], "recolour": 0.5}}
    assert migrate(posed) == posed


@pytest.mark.parametrize("folder", sorted(path.name for path in (ROOT / "zoo").iterdir() if path.is_dir()))
def test_every_shipped_model_is_read(folder: str) -> None:
    values = yaml.safe_load((ROOT / "zoo" / folder / "config.yaml").read_text())
    config = to_dict(from_dict(migrate(values)))
    assert all(config[group][key] == value for group in values for key, value in values[group].items())


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
