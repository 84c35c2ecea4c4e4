"""What is chosen from a folder, said in one line, and never over what somebody named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from soda.cli import main
from soda.config import compose, from_dict
from soda.data.choice import choose, chosen_for, median_side
from tests.support.samples import picture
from tests.support.settings import ROOT

CONF = ROOT / "conf"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    root.mkdir()
    for seed in range(10):
        picture(seed, (200, 120)).save(root / f"{seed}.png")
    (root / "broken.png").write_bytes(b"no picture")
    return root


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to compose in: no general model is there to begin with."""
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    return root


def composed(*overrides: str) -> tuple[dict[str, Any], str]:
    values = compose(list(overrides), CONF)
    said = choose(values, overrides)
    from_dict(values)
    return values, said


def test_few_large_pictures_are_trained_on_shortly_and_large(folder: Path) -> None:
    values, said = composed("dataset=folder", f"dataset.path={folder}")
    assert (values["dataset"]["image_size"], values["train"]["batch_size"], values["train"]["images"]) == (64, 32, 20_000)
    assert said.startswith(
        "chosen from 11 pictures, half of them at least 120 px a side: dataset.image_size=64 train.batch_size=32"
    )
    assert values["train"]["warmup_images"] < 1000 and "\n" not in said


def test_what_is_named_is_not_chosen(folder: Path) -> None:
    here = ("dataset=folder", f"dataset.path={folder}")
    values, said = composed(*here, "dataset.image_size=48", "train.images=3000")
    assert (values["dataset"]["image_size"], values["train"]["images"], values["train"]["warmup_images"]) == (48, 3000, 6400)
    assert "image_size" not in said and "train.batch_size=32" in said
    values, said = composed(*here, "train=smoke")
    assert values["train"] == compose([*here, "train=smoke"], CONF)["train"] and "train." not in said
    values, said = composed("experiment=folder", f"dataset.path={folder}")
    assert values["train"]["images"] == 20_000 and said


@pytest.fixture
def general(project: Path) -> dict[str, Any]:
    """The settings of a general model, whose config.yaml is there."""
    values = compose(
        ["dataset=folder", "dataset.path=x", "dataset.image_size=64", "model=lite", "diffusion.prediction=x_0"], CONF
    )
    (project / "zoo/icons").mkdir(parents=True)
    (project / "zoo/icons/config.yaml").write_text(yaml.safe_dump(values))
    return values


def test_a_folder_begins_with_the_general_model(folder: Path, general: dict[str, Any]) -> None:
    values, said = composed("dataset=folder", f"dataset.path={folder}")
    assert values["model"] == general["model"] and values["dataset"]["image_size"] == 64
    assert values["train"]["init"] == "zoo/icons" and values["train"]["images"] == 20_000
    assert chosen_for(8121, 210, from_dict(general))["train.images"] == 40_000
    assert "train.init=zoo/icons" in said and values["diffusion"]["prediction"] == "x_0"
    values, said = composed(
        "dataset=folder", f"dataset.path={folder}", "train.images=3000", "dataset.image_size=32", "diffusion=quick"
    )
    assert values["model"] == general["model"] and values["dataset"]["image_size"] == 32
    assert values["train"]["init"] == "zoo/icons" and values["train"]["images"] == 3000
    assert values["diffusion"]["prediction"] == "v" and values["train"]["encoder_lr_factor"] == 0
    values, _ = composed("dataset=folder", f"dataset.path={folder}", "diffusion.sampling_steps=20")
    assert values["diffusion"]["prediction"] == "x_0" and values["diffusion"]["sampling_steps"] == 20


@pytest.mark.parametrize(
    "named",
    ["model=tiny", "model.latent_dim=64", "train=smoke", "train.init=", "dataset.channels=1", "dataset.image_size=40"],
)
def test_who_shapes_the_model_begins_with_none(folder: Path, general: dict[str, Any], named: str) -> None:
    values, said = composed("dataset=folder", f"dataset.path={folder}", named)
    assert values["train"]["init"] == "" and values["model"]["encoder"] == "tiny" and "init" not in said


def test_nothing_is_chosen_for_other_data_or_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for overrides in (["dataset=fashion_mnist"], ["dataset=folder", "dataset.path=/nowhere"]):
        assert composed(*overrides) == (compose(overrides, CONF), "")
    assert composed("dataset=folder", f"dataset.path={tmp_path / 'empty'}")[1] == ""


def test_many_pictures_are_trained_on_as_by_default() -> None:
    default = compose([], CONF)["train"]
    chosen = chosen_for(8121, 210)
    assert chosen == {"dataset.image_size": 32, "train.batch_size": default["batch_size"], "train.images": default["images"]}
    costs = {
        (count, side): choice for count in (10, 300, 1500, 9000) for side in (16, 400) for choice in [chosen_for(count, side)]
    }
    for choice in costs.values():
        assert choice["train.images"] * (choice["dataset.image_size"] / 32) ** 2 <= default["images"]


def test_a_folder_of_no_pictures_has_no_side(folder: Path) -> None:
    assert median_side(folder, ["broken.png"]) == 0


def test_the_command_writes_and_says_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf").symlink_to(CONF)
    monkeypatch.chdir(tmp_path)
    main(["compose", "dataset=folder", f"dataset.path={folder}"])
    assert "dataset.image_size=64" in capsys.readouterr().err
    assert yaml.safe_load(Path("params.yaml").read_text())["dataset"]["image_size"] == 64
