"""Experiments: named, whole recipes, each a choice of the groups of conf/."""

from __future__ import annotations

from pathlib import Path

import pytest

from soda.cli import main
from soda.config import Config, advice, compose, from_dict, load
from tests.support.settings import DEFAULT, ROOT, experiment_overrides

CONF = ROOT / "conf"


def composed(*overrides: str) -> Config:
    return from_dict(compose(list(overrides), CONF))


@pytest.mark.parametrize("name", [file.stem for file in sorted((CONF / "experiment").glob("*.yaml")) if file.stem != "paper"])
def test_an_experiment_is_called_like_its_data(name: str) -> None:
    assert name.startswith(composed(*experiment_overrides(name)).dataset.name)


def test_an_experiment_chooses_what_its_data_are_best_trained_with() -> None:
    assert composed("experiment=fashion_mnist") == DEFAULT
    long = composed("experiment=fashion_mnist_long")
    assert (long.model.latent_dim, long.model.channels, long.train.images) == (512, 24, 1_000_000)
    avatars = composed("experiment=avatars")
    assert (avatars.model.latent_dim, avatars.train.batch_size, avatars.gate.min_train) == (608, 32, 8500)
    emoji = composed("experiment=emoji")
    assert emoji.views.pairs.style_sections == 2 and emoji.diffusion.time_power == 4 and emoji.train.images == 800_000
    furniture = composed("experiment=furniture")
    assert furniture.model.cameras.rays and furniture.views.pairs.column == "factor.object" and furniture.diffusion.time_power > 1
    assert furniture.evaluate.vae_share == 0 and furniture.gate.held_apart == "model"


def test_whose_z_is_a_map() -> None:
    rooms, icons = composed("experiment=shapes3d_like"), composed("experiment=icons")
    assert (rooms.model.encoder_head, rooms.model.latent_dim, rooms.train.optimizer) == ("map", 1024, "muon")
    assert (icons.model.encoder_head, icons.model.encoder, icons.train.init) == (
        "map",
        "efficientnet_lite0",
        "efficientnet_lite0",
    )
    others = {file.stem for file in (CONF / "experiment").glob("*.yaml")} - {"shapes3d_like", "icons", "folder"}
    assert {composed(*experiment_overrides(name)).model.encoder_head for name in sorted(others)} == {"linear"}


def test_what_is_named_beside_an_experiment_wins() -> None:
    narrow = composed("experiment=furniture", "model.latent_dim=64")
    assert narrow.model.latent_dim == 64 and narrow.model.channel_mult == (1, 2, 3)
    quick = composed("experiment=emoji", "train=quick", "diffusion=paper")  # a group that is named is whole
    assert quick.train == DEFAULT.train and quick.diffusion == composed("diffusion=paper").diffusion
    assert quick.model.latent_dim == 256 and quick.views.pairs.style_sections == 2
    blind = composed("experiment=furniture", "model=tiny", "views=plain")
    assert not blind.model.cameras.rays and blind.views.pairs.by == "picture" and blind.diffusion.time_power > 1
    assert composed("experiment=avatars", "dataset=random_objects").gate.held_apart == "model"  # the gate goes with the data


def test_a_data_set_alone_brings_its_gate_and_no_recipe() -> None:
    alone = composed("dataset=avatars")
    assert alone.gate == composed("experiment=avatars").gate and alone.model == DEFAULT.model and alone.train == DEFAULT.train
    assert composed("dataset=imagenet", "dataset.path=x").gate == composed("gate=base").gate  # it has none of its own


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ("dataset=avatars", ["experiment=avatars", "model, train"]),
        ("dataset=avatars train=quick", ["experiment=avatars", "of model are"]),
        ("train=long", ["experiment=fashion_mnist_long", "of model are"]),
        ("dataset=fashion_mnist train=long", ["experiment=fashion_mnist_long"]),
        ("dataset=nmr dataset.path=x", ["experiment=nmr", "views, model, diffusion, evaluate"]),
        ("dataset=avatars train=quick model=tiny", []),
        ("dataset=fashion_mnist", []),
        ("dataset=folder dataset.path=x train=long", []),
        ("dataset=cifar10 dataset.path=x", []),
        ("experiment=avatars dataset=emoji", []),
        ("model.latent_dim=64", []),
        ("", []),
    ],
)
def test_who_names_data_alone_is_told_of_their_experiment(overrides: str, says: list[str]) -> None:
    said = advice(overrides.split(), CONF)
    assert bool(said) == bool(says) and all(each in said for each in says), said


def test_the_command_says_so_and_writes_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf").symlink_to(CONF)
    monkeypatch.chdir(tmp_path)
    main(["compose", "dataset=avatars"])
    assert "experiment=avatars" in capsys.readouterr().err and load() == composed("dataset=avatars")
    main(["compose", "experiment=avatars"])
    assert capsys.readouterr().err == "" and load() == composed("experiment=avatars")
