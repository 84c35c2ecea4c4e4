"""Settings: what is unknown, missing or impossible is refused with its key and value."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from soda.config import ConfigError, compose, from_dict, load, to_dict, write_params
from soda.data.sources import SOURCES
from tests.support.settings import DEFAULT, ROOT, make_config

CONF = ROOT / "conf"


@pytest.mark.parametrize(
    ("override", "names"),
    [
        ("train.lr=-1", ["train.lr", "-1"]),
        ("train.lr=fast", ["train.lr", "'fast'"]),
        ("train.batch_size=1", ["train.batch_size", "1"]),
        ("train.seed=99999999999999999999999", ["train.seed", "99999999999999999999999"]),
        ("evaluate.seed=-1", ["evaluate.seed", "-1"]),
        ("dataset.seed=-1", ["dataset.seed", "-1"]),
        ("model.encoder_width=7", ["model.encoder_width", "7"]),
        ("train.images=10", ["train.images", "10"]),
        ("train.precision=fp8", ["train.precision", "'fp8'", "bf16"]),
        ("model.latent_dim=66", ["model.latent_dim", "66", "4 sections"]),
        ("model.latent_dim=12.5", ["model.latent_dim", "12.5"]),
        ("model.encoder=vit", ["model.encoder", "'vit'", "resnet18"]),
        ("model.encoder_head=none", ["model.encoder_head", "'none'", "map"]),
        ("model.encoder_head=map model.encoder=resnet18", ["model.encoder_head", "'map'", "tiny"]),
        ("model.encoder_head=map model.latent_dim=24", ["model.latent_dim", "24", "multiple of 16"]),
        ("model.section_drop=1.5", ["model.section_drop", "1.5"]),
        ("model.attention_levels=[7]", ["model.attention_levels", "7"]),
        ("diffusion.schedule=quadratic", ["diffusion.schedule", "'quadratic'", "inverted"]),
        ("diffusion.sampling_steps=2000", ["diffusion.sampling_steps", "2000", "1000"]),
        ("dataset.image_size=30", ["dataset.image_size", "30", "multiple of 8"]),
        ("dataset.val_fraction=0.95", ["dataset.val_fraction", "1.05"]),
        ("views.source.crop_prob=2", ["crop_prob", "2"]),
        ("gate.min_train=0", ["gate.min_train", "0"]),
        ("gate.held_apart=hair", ["gate.held_apart", "'hair'", "gate.factors"]),
        ("views.pairs.by=luck", ["views.pairs.by", "'luck'", "column"]),
        ("views.pairs.by=column", ["views.pairs.column", "None"]),
        ("views.pairs.file=a.csv", ["views.pairs.file", "'a.csv'", "null unless"]),
        ("views.pairs.reconstruct=0.5", ["views.pairs.reconstruct", "0.5", "views.pairs.by=picture"]),
        ("views.recolour=3", ["views.recolour", "3", "less than or equal to 2"]),
        ("evaluate.knn_k=[]", ["evaluate.knn_k"]),
        ("export.opset=9", ["export.opset", "9"]),
        ("model.cameras.source_drop=2", ["model.cameras.source_drop", "2"]),
        ("model.cameras.view_attention=[0]", ["model.cameras.view_attention", "(0,)", "rays"]),
        ("train.betas=[0.1,2]", ["train.betas[1]", "2", "less than 1"]),
        ("train.compile=1", ["train.compile", "1", "boolean"]),
        ("train.images='1000'", ["train.images", "'1000'", "integer"]),
        ("model.cameras=3", ["model.cameras", "3", "mapping"]),
        ("dataset.name=cifar", ["dataset.name", "'cifar'", "cifar10"]),
        ("experiment=nothing", ["experiment", "nothing", "emoji"]),
        ("+model.depth=3", ["model.depth", "3", "no such setting"]),
        ("model.depth=3", ["model.depth"]),
        ("train=forever", ["train", "forever", "long"]),
        ("dataset=folder", ["dataset.path"]),
    ],
)
def test_a_wrong_setting_is_refused_by_name(override: str, names: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        compose(override.split(), CONF)
    assert all(name in str(refused.value) for name in names), str(refused.value)


@pytest.mark.parametrize(
    "group", [p.relative_to(CONF) for p in sorted(CONF.glob("*/*.yaml")) if p.stem != "base" and p.parent.name != "experiment"]
)
def test_every_choice_of_every_group_composes(group: Path) -> None:
    theirs = "path: ???" in (CONF / group).read_text()  # the person says where it is
    assert compose([f"{group.parent}={group.stem}", *(["dataset.path=somewhere"] if theirs else [])], CONF)


def test_a_persons_folder_composes(tmp_path: Path) -> None:
    folder = tmp_path / "Bilder, März 2024"
    assert compose(["dataset=folder", f"dataset.path={folder}"], CONF)["dataset"]["path"] == str(folder)
    names = ["dataset.labels=étiquettes (1).csv", "dataset.csv_label_column=1", "++dataset.csv_file_column=Größe"]
    composed = compose(["dataset=folder", f"dataset.path={folder}", *names], CONF)["dataset"]
    assert composed["labels"] == "étiquettes (1).csv"
    assert (composed["csv_label_column"], composed["csv_file_column"]) == ("1", "Größe")
    assert compose(["gate.reference=null"], CONF)["gate"].get("reference") is None


def test_params_come_back_as_they_went(tmp_path: Path) -> None:
    config = make_config()
    write_params(to_dict(config), tmp_path / "params.yaml")
    assert load(tmp_path / "params.yaml") == config


@pytest.mark.parametrize(
    ("text", "says"),
    [("train: [", "not valid YAML"), ("", "params.yaml"), ("train: 3", "missing"), ("colour: red", "colour")],
)
def test_a_broken_params_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"params\.yaml") as refused:
        load(tmp_path / "params.yaml")
    assert says in str(refused.value)
    with pytest.raises(ConfigError, match="soda compose"):
        load(tmp_path / "none.yaml")


def test_a_missing_setting_is_named() -> None:
    values = to_dict(make_config())
    del values["model"]["cameras"]["octaves"]
    with pytest.raises(ConfigError, match=r"^model\.cameras\.octaves: this setting is missing$"):
        from_dict(values)


def test_no_setting_has_a_default_but_in_conf() -> None:
    def required(settings: Any) -> None:
        for field in dataclasses.fields(settings):
            assert field.default is field.default_factory is dataclasses.MISSING, f"{type(settings).__name__}.{field.name}"
            if dataclasses.is_dataclass(getattr(settings, field.name)):
                required(getattr(settings, field.name))

    required(DEFAULT)
    assert from_dict(compose([], CONF)) == DEFAULT


def test_whatever_is_a_setting_can_be_set_on_the_default() -> None:
    changed = ["views.pairs.by=column", "views.pairs.column=label", "views.recolour=.5", "gate.min_views=2"]
    config = from_dict(compose([*changed, "model.cameras.source_drop=1", "train.images=1e5"], CONF))
    assert (config.views.pairs.column, config.views.recolour, config.gate.min_views) == ("label", 0.5, 2)
    assert type(config.model.cameras.source_drop) is float and type(config.train.images) is int


def test_a_changed_copy_is_validated() -> None:
    assert dataclasses.replace(DEFAULT.train, lr=1).lr == 1.0
    with pytest.raises(ConfigError, match=r"^train\.lr: -1 is not possible; it must be greater than 0$"):
        dataclasses.replace(DEFAULT.train, lr=-1)
    with pytest.raises(ConfigError, match=r"^views\.pairs\.column: None is not possible"):
        dataclasses.replace(DEFAULT.views.pairs, by="column")
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULT.train.lr = 1  # type: ignore[misc]


def test_every_source_of_images_has_its_data_set_in_conf() -> None:
    named = {yaml.safe_load(file.read_text())["name"] for file in (CONF / "dataset").glob("*.yaml") if file.stem != "base"}
    assert named == set(SOURCES) == {file.stem for file in (CONF / "dataset").glob("*.yaml")} - {"base"}


def test_what_needs_no_settings_loads_none() -> None:
    code = (
        "import sys, soda, soda.runtime, soda.vectors, soda.serve, soda.cli\ntry: soda.cli.main(['--help'])\nexcept SystemExit: "
    )
    code += "assert not {'yaml', 'pydantic', 'hydra', 'torch'} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    code = "import sys, soda.config; assert not {'torch', 'hydra', 'omegaconf'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
