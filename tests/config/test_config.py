"""Settings: what is unknown, missing or impossible is refused with its key and value."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from soda.config import ConfigError, compose, from_dict, load, to_dict, write_params
from tests.support.settings import ROOT, make_config

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
        ("model.section_drop=1.5", ["model.section_drop", "1.5"]),
        ("model.attention_levels=[7]", ["model.attention_levels", "7"]),
        ("diffusion.schedule=quadratic", ["diffusion.schedule", "'quadratic'", "inverted"]),
        ("diffusion.sampling_steps=2000", ["diffusion.sampling_steps", "2000", "1000"]),
        ("dataset.image_size=30", ["dataset.image_size", "30", "multiple of 8"]),
        ("dataset.val_fraction=0.95", ["dataset.val_fraction", "1.05"]),
        ("views.source.crop_prob=2", ["crop_prob", "2"]),
        ("gate.min_train=0", ["gate.min_train", "0"]),
        ("+gate.held_apart=hair", ["gate.held_apart", "'hair'", "gate.factors"]),
        ("+views.pairs.by=luck", ["views.pairs.by", "'luck'", "column"]),
        ("+views.pairs.by=column", ["views.pairs.column", "None"]),
        ("+views.pairs.file=a.csv", ["views.pairs.file", "'a.csv'", "null unless"]),
        ("+views.pairs.reconstruct=0.5", ["views.pairs.reconstruct", "0.5", "views.pairs.by=picture"]),
        ("+views.recolour=3", ["views.recolour", "3", "0 to 2"]),
        ("evaluate.knn_k=[]", ["evaluate.knn_k"]),
        ("export.opset=9", ["export.opset", "9"]),
        ("+model.depth=3", ["model.depth", "3", "no such setting"]),
        ("model.depth=3", ["model.depth"]),
        ("train=forever", ["train", "forever", "long"]),
        ("dataset=folder", ["dataset.path"]),
    ],
)
def test_a_wrong_setting_is_refused_by_name(override: str, names: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        compose([override], CONF)
    assert all(name in str(refused.value) for name in names), str(refused.value)


@pytest.mark.parametrize(
    "group", [p.relative_to(CONF) for p in sorted(CONF.glob("*/*.yaml")) if p.stem not in ("base", "folder")]
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
    del values["train"]["lr"]
    with pytest.raises(ConfigError, match=r"train\.lr"):
        from_dict(values)


def test_a_data_set_brings_its_recipe_and_named_choices_win() -> None:
    recipes = yaml.safe_load((ROOT / "conf" / "recipes.yaml").read_text())
    assert {name.partition(" ")[0] for name in recipes} <= {path.stem for path in (ROOT / "conf" / "dataset").glob("*.yaml")}
    posed = from_dict(compose(["dataset=furniture"], ROOT / "conf"))
    assert posed.model.cameras.rays and posed.views.pairs.column == "factor.object" and posed.diffusion.time_power > 1
    chosen = from_dict(compose(["dataset=furniture", "model=tiny", "views=plain"], ROOT / "conf"))
    assert not chosen.model.cameras.rays and chosen.views.pairs.by == "picture" and chosen.diffusion.time_power > 1
    guided = from_dict(compose(["dataset=emoji", "diffusion=paper", "model.latent_dim=64"], ROOT / "conf"))
    assert guided.model.latent_dim == 64 and guided.views.pairs.style_sections == 2
    assert guided.diffusion == from_dict(compose(["diffusion=paper"], ROOT / "conf")).diffusion  # a group that is named is whole
    assert compose(["dataset=fashion_mnist"], ROOT / "conf") == compose([], ROOT / "conf")
    # That of data and training together, of the default data, too; a named value stays, and other data have nothing of it.
    for data in (["dataset=fashion_mnist"], []):
        long = from_dict(compose([*data, "train=long"], ROOT / "conf"))
        assert long.model.latent_dim == 512 and long.train.images == 1_000_000
    narrow = from_dict(compose(["train=long", "model.latent_dim=64"], ROOT / "conf"))
    assert narrow.model.latent_dim == 64 and narrow.model.channels == long.model.channels
    assert from_dict(compose(["dataset=svhn", "dataset.path=x", "train=long"], ROOT / "conf")).model.latent_dim == 128
    fast = from_dict(compose(["dataset=furniture", "train=quick"], ROOT / "conf"))
    assert fast.train == from_dict(compose([], ROOT / "conf")).train and fast.model.latent_dim == 256
