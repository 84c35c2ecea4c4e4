"""Novel views measured: which views are asked for, what stands beside them, and figures that know a good model from a bad one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor

from soda.common.images import to_float
from soda.config import Config, compose, from_dict
from soda.data.columns import SPLITS
from soda.data.dataset import PreparedData
from soda.data.fetch import fetch
from soda.data.pairs import find_partners
from soda.data.prepare import prepare
from soda.evaluation.azimuth import azimuth_error
from soda.evaluation.image_metrics import FixedNetwork
from soda.evaluation.measures.novel_views import BASELINES, COUNTS
from soda.evaluation.novel_figures import novel_sheet, spinning, turntables
from soda.evaluation.novel_tasks import Views, angles_between, choose_tasks
from soda.evaluation.view_synthesis import NovelViews, Splits, measure_novel_views
from soda.geometry.cameras import COLUMNS, camera, look_at
from soda.inference.drawer import Drawer
from soda.model.encoder import build_encoder
from soda.model.network import SodaNetwork
from soda.training.batches import Reader
from soda.training.step import optimise, start_run
from tests.support.models import awake
from tests.support.objects import FOCAL, OBJECTS, PLAN, VIEWS, of_objects, places
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config


@pytest.fixture
def config() -> Config:
    return make_config("model=posed", "views=object", "model.cameras.octaves=2", "model.encoder_width=8", "dataset.channels=3")


@pytest.fixture
def data(config: Config, tmp_path: Path) -> PreparedData:
    size = {"size": config.dataset.image_size, "channels": 3}
    return PreparedData(make_prepared(tmp_path / "data", n=OBJECTS * VIEWS, edit=of_objects, **size))


def test_tasks_are_of_one_object_and_strangers_of_another(data: PreparedData) -> None:
    split = data.split("test")
    tasks = choose_tasks(split, targets=3, sources=4, seed=0)
    assert tasks is not None and len(tasks) == 9 and tasks.sources.shape == (9, 4)
    objects = split.column("factor.object")
    assert (objects[tasks.sources] == objects[tasks.targets][:, None]).all()
    assert not (tasks.sources == tasks.targets[:, None]).any()
    assert all(len(set(row)) == 4 for row in tasks.sources.tolist())
    assert (objects[tasks.strangers] != objects[tasks.targets]).all()
    again = choose_tasks(split, targets=3, sources=4, seed=0)
    assert again is not None and (again.sources == tasks.sources).all() and (again.strangers == tasks.strangers).all()
    assert choose_tasks(split, targets=3, sources=VIEWS, seed=0) is None


def test_angles_and_the_nearest_view_of_each_object(data: PreparedData) -> None:
    here, there = (np.array(camera(look_at(place), FOCAL).numbers) for place in ((2.8, 0, 0), (0, 2.8, 0)))
    assert np.degrees(angles_between(here, there)) == pytest.approx(90)
    assert angles_between(here, here) == pytest.approx(0, abs=1e-6)
    split = data.split("train")
    views = Views(split)
    objects = split.column("factor.object")
    own = sorted({name for name in objects if "~" not in name})
    assert views.count == len(own), "variants are left out"
    nearest = views.nearest(here)
    assert objects[nearest].tolist() == own
    for position in nearest:
        fellows = np.flatnonzero(objects == objects[position])
        assert angles_between(split.cameras[position], here) == pytest.approx(angles_between(split.cameras[fellows], here).min())


class Oracle(SodaNetwork):
    """Knows every view by its camera's place, so that the right pose draws the right picture whatever the source."""

    known: dict[tuple[float, ...], Tensor]

    def predict(self, x_t, t, z, cameras=None, context=None):  # type: ignore[no-untyped-def]
        assert cameras is not None
        x_0 = torch.stack([self.known[tuple(row.tolist())] for row in cameras])
        abar = self.schedule.abar(t, x_t)
        return x_0, ((x_t - abar.sqrt() * x_0) / (1 - abar).sqrt()).float()


def oracle(config: Config, data: PreparedData) -> Oracle:
    c = config.model
    model = Oracle(model=c, diffusion=config.diffusion, image_size=config.dataset.image_size, channels=3).eval()
    split = data.split("test")
    pictures = to_float(split.gather(np.arange(len(split))))
    model.known = {tuple(row.tolist()): x for row, x in zip(torch.from_numpy(split.cameras), pictures, strict=True)}
    return model


def measured(
    model: SodaNetwork,
    data: PreparedData,
    config: Config,
    *,
    targets: int,
    samples: int,
    batch_size: int,
    regressor: SodaNetwork | None = None,
) -> NovelViews:
    plain = make_config("dataset.channels=3").model
    network = FixedNetwork(build_encoder(plain, image_size=config.dataset.image_size, channels=3))
    drawer = Drawer(model, batch_size=batch_size, progress=False)
    protocol = dataclasses.replace(config.evaluate, view_targets=targets, view_samples=samples)
    splits = Splits(*(data.split(name) for name in SPLITS))
    found = measure_novel_views(drawer, splits, network, protocol, regressor)
    assert found is not None
    return found


def test_a_model_that_knows_the_views_scores_and_a_wrong_pose_costs_it(
    config: Config, data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soda.evaluation.view_synthesis._other_set", lambda *_: {})  # of cameras that the oracle does not know
    found = measured(oracle(config, data), data, config, targets=2, samples=2, batch_size=7)
    figures = found.metrics
    for count in COUNTS:
        assert figures[f"psnr@{count}"] > 45 and figures[f"unposed_psnr@{count}"] > 45 and figures[f"ssim@{count}"] > 0.99
        assert figures[f"lpips_like@{count}"] < 1e-3 and figures[f"sample_psnr@{count}"] > 45
    assert figures["shuffled_psnr@1"] > 45, "it does not look at the source"
    assert figures["wrong_pose_psnr@1"] < 12
    assert set(figures["baselines"]) == set(BASELINES) - {"one_step"}
    assert all(5 < each["psnr"] < 15 for each in figures["baselines"].values()), "the pictures are noise"
    unpaired = figures["unpaired"]
    assert unpaired["expected"]["detail"] == pytest.approx(1, abs=0.02), "it draws the truth"
    assert unpaired["expected"]["fid_like"] == pytest.approx(unpaired["truth"]["fid_like"], rel=0.02)
    assert unpaired["mean_view"]["detail"] < 0.3 and unpaired["mean_view"]["detail_distance"] > 0.2, "a mean of noise is flat"
    assert figures["spread@1"] < 0.01, "and the same whatever the noise"
    assert sum(each["pictures"] for each in figures["by_angle"].values()) == figures["tasks"] == 6


class Undecided(SodaNetwork):
    """Draws all of a view lighter or darker than grey, as the noise falls."""

    def predict(self, x_t, t, z, cameras=None, context=None):  # type: ignore[no-untyped-def]
        x_0 = 0.4 * x_t.mean((1, 2, 3), keepdim=True).sign().expand_as(x_t)
        abar = self.schedule.abar(t, x_t)
        return x_0, ((x_t - abar.sqrt() * x_0) / (1 - abar).sqrt()).float()


def test_the_spread_of_samples_is_that_of_a_model_of_two_minds(data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soda.evaluation.view_synthesis._other_set", lambda *_: {})
    posed = ("model=posed", "views=object", "model.cameras.octaves=2", "model.encoder_width=8", "dataset.channels=3")
    config = make_config(*posed, "diffusion.sampling_steps=1")
    model = Undecided(model=config.model, diffusion=config.diffusion, image_size=config.dataset.image_size, channels=3).eval()
    figures = measured(model, data, config, targets=4, samples=12, batch_size=20).metrics
    assert figures["spread@1"] == pytest.approx(0.2, rel=0.1), "0.4 either way in [-1, 1]"
    left = 10 ** (-figures["psnr@1"] / 10)  # the views are even noise, of variance 1 / 12
    assert figures["spread_share@1"] == pytest.approx(0.04 / (1 / 12), rel=0.2) and left == pytest.approx(
        1 / 12 + 0.04 / 12, rel=0.1
    )
    alone = measured(model, data, config, targets=4, samples=1, batch_size=20).metrics
    assert not any(key.startswith("spread") for key in alone)


class Witness(Oracle):
    """Draws the right view only from sources that it may use: of this object, posed, and of the telling ones at least one.

    Else it draws grey. Its z: the number of the object, whether the camera was known, whether a view was telling.
    """

    objects: dict[bytes, int]
    telling: set[bytes]
    of_camera: dict[tuple[float, ...], int]

    def encode(self, images, cameras=None):  # type: ignore[no-untyped-def]
        keys = [key_of(each) for each in images]
        z = torch.zeros(len(images), self.latent_dim)
        z[:, 0] = torch.tensor([self.objects.get(key, -1) for key in keys])
        z[:, 1] = float(cameras is not None)
        z[:, 2] = torch.tensor([float(key in self.telling) for key in keys])
        return z

    def predict(self, x_t, t, z, cameras=None, context=None):  # type: ignore[no-untyped-def]
        own = torch.tensor([float(self.of_camera[tuple(row.tolist())]) for row in cameras])
        right = (z[:, 0].round() == own) & (z[:, 1] > 0.5) & (z[:, 2] > 0)
        x_0 = torch.stack([self.known[tuple(row.tolist())] for row in cameras]) * right[:, None, None, None]
        abar = self.schedule.abar(t, x_t)
        return x_0, ((x_t - abar.sqrt() * x_0) / (1 - abar).sqrt()).float()


def key_of(image: Tensor) -> bytes:
    return ((image + 1) * 127.5).round().to(torch.uint8).numpy().tobytes()


def test_each_figure_is_of_the_sources_it_names(config: Config, data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soda.evaluation.view_synthesis._other_set", lambda *_: {})
    split = data.split("test")
    tasks = choose_tasks(split, targets=4, sources=4, seed=0)
    assert tasks is not None
    model = oracle(config, data)
    model.__class__ = Witness
    assert isinstance(model, Witness)
    pictures = to_float(split.gather(np.arange(len(split))))
    names = split.column("factor.object")
    numbers = {name: k for k, name in enumerate(sorted(set(names.tolist())))}
    model.objects = {key_of(x): numbers[name] for x, name in zip(pictures, names.tolist(), strict=True)}
    cameras = [tuple(row.tolist()) for row in torch.from_numpy(split.cameras)]
    model.of_camera = {row: numbers[name] for row, name in zip(cameras, names.tolist(), strict=True)}
    telling = np.flatnonzero(np.arange(len(split)) % 7 == 2)
    model.telling = {key_of(pictures[k]) for k in telling}
    found = measured(model, data, config, targets=4, samples=2, batch_size=7)
    assert (found.tasks.sources == tasks.sources).all()
    truth, figures = split.gather(tasks.targets).astype(int), found.metrics
    grey = 20 * np.log10(255 / np.sqrt(((truth - 127.5) ** 2).mean((1, 2, 3))))
    for count in COUNTS:
        right = np.isin(tasks.sources[:, :count], telling).any(1)
        error = np.abs(found.drawn[count].mean - truth).max((1, 2, 3))
        assert 0 < right.sum() < len(right) and (error[right] <= 1).all() and (error[~right] > 50).all()
        assert figures[f"unposed_psnr@{count}"] == pytest.approx(grey.mean(), abs=0.05)
        wrong_share = float((grey * ~right).sum() / len(right))
        assert figures[f"psnr@{count}"] == pytest.approx(figures[f"sample_psnr@{count}"], abs=0.1) and (
            figures[f"psnr@{count}"] > wrong_share + right.mean() * 45
        )
    assert figures["shuffled_psnr@1"] == pytest.approx(grey.mean(), abs=0.05), "strangers are of another object"
    right = np.isin(tasks.sources[:, 0], telling)
    for bounds, row in figures["by_angle"].items():
        low, high = map(int, bounds.split("-"))
        here = (tasks.angles >= low) & (tasks.angles < high)
        assert row["pictures"] == here.sum() and row["psnr"] == pytest.approx(found.psnr[here].mean())
        assert (found.psnr[here][right[here]] > 45).all() and (found.psnr[here][~right[here]] < 14).all()


def test_baselines_are_those_of_a_case_made_by_hand(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every object is of one lightness, its own, so that a copy and the object nearest in z are known."""
    monkeypatch.setattr("soda.evaluation.view_synthesis._other_set", lambda *_: {})
    names = of_objects(pd.DataFrame(index=range(OBJECTS * VIEWS)))["factor.object"].tolist()
    own = {name: 30 + 20 * k for k, name in enumerate(sorted({name for name in names[: 9 * VIEWS] if "~" not in name}))}
    alike = dict(zip(("o12", "o13", "o14"), list(own)[::2], strict=False))  # of each test object the training object like it
    levels = own | {name: own[like] + 2 for name, like in alike.items()}
    pixels = np.array([np.full((config.dataset.image_size,) * 2 + (3,), levels.get(name, 250), np.uint8) for name in names])
    data = PreparedData(make_prepared(tmp_path / "flat", pixels=pixels, edit=of_objects))
    test = data.split("test")
    centres = torch.tensor(list(own.values())) / 127.5 - 1

    class Light(SodaNetwork):
        """z tells near which training object's lightness a picture is, and whatever it is asked for it draws black."""

        def encode(self, images, cameras=None):  # type: ignore[no-untyped-def]
            z = torch.zeros(len(images), self.latent_dim)
            z[:, : len(centres)] = torch.exp(-(((images.mean((1, 2, 3))[:, None] - centres) / 0.1) ** 2))
            return z

        def predict(self, x_t, t, z, cameras=None, context=None):  # type: ignore[no-untyped-def]
            abar, x_0 = self.schedule.abar(t, x_t), -torch.ones_like(x_t)
            return x_0, ((x_t - abar.sqrt() * x_0) / (1 - abar).sqrt()).float()

    model = Light(model=config.model, diffusion=config.diffusion, image_size=config.dataset.image_size, channels=3).eval()
    found = measured(model, data, config, targets=3, samples=1, batch_size=64)
    objects = test.column("factor.object")[found.tasks.targets].tolist()
    truth = np.array([levels[name] for name in objects])

    def psnr(guess: Sequence[float]) -> float:
        return float((20 * np.log10(255 / np.abs(np.array(guess) - truth))).mean())

    bases = found.metrics["baselines"]
    mean = np.round(np.mean(list(own.values())))
    assert bases["mean_view"]["psnr"] == pytest.approx(psnr([mean] * len(truth)), abs=0.01), "variants are left out"
    assert bases["nearest_object"]["psnr"] == pytest.approx(psnr([own[alike[name]] for name in objects]), abs=0.01)
    # Validation objects are white, so that the mean of the lightest is not what they are nearest to in z: one is chosen.
    assert found.metrics["nearest_k"] in (1, 2, 4) and bases["nearest_mean"]["psnr"] > 10
    assert bases["copy"]["psnr"] == bases["copy_nearest_of_4"]["psnr"] > 90, "every view of an object is alike"
    assert found.metrics["psnr@1"] == pytest.approx(psnr([0] * len(truth)), abs=0.01), "black"


def test_an_untrained_model_is_measured_whole_and_drawn(config: Config, data: PreparedData, tmp_path: Path) -> None:
    model = awake(config)
    found = measured(model, data, config, targets=2, samples=2, batch_size=16)
    assert np.isfinite([value for value in found.metrics.values() if isinstance(value, float)]).all()
    other = found.metrics["other_set"]
    assert other["objects"] > 20 and other["copy_psnr"] > 5 and np.isfinite(other["psnr@1"])
    assert other["psnr@1"] != other["shuffled_psnr@1"]
    novel_sheet(found, tmp_path / "novel_views.png")
    turntables(model, found, tmp_path / "turntables.png", 0)
    spinning(model, found, tmp_path / "turntable.gif", 0)
    with Image.open(tmp_path / "turntable.gif") as turning:
        assert getattr(turning, "n_frames", 1) > 12 and turning.height == 3 * 64
    for name in ("novel_views", "turntables"):
        with Image.open(tmp_path / f"{name}.png") as sheet:
            assert sheet.width > 300 and sheet.height > 200


def test_the_azimuth_is_read_off_latents_that_hold_it_and_not_off_others() -> None:
    generator = torch.Generator().manual_seed(0)
    cameras = {name: torch.from_numpy(places(n)) for name, n in (("train", 400), ("val", 100), ("test", 100))}
    knowing = {}
    for name, each in cameras.items():
        hidden = each[:, [COLUMNS.index("camera.place0"), COLUMNS.index("camera.place1")]]
        knowing[name] = hidden @ torch.randn(2, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 5
    assert azimuth_error(knowing, cameras) < 15
    blind = {name: torch.randn(len(each), 8, generator=generator) for name, each in cameras.items()}
    assert 60 < azimuth_error(blind, cameras) < 120


def test_objects_at_64_px_are_prepared_trained_on_and_turned(tmp_path: Path) -> None:
    """The whole way at the size that is too slow to train to the end here: rendered, prepared, three steps, measured."""
    plan = {**PLAN, "objects": 16, "views": 8, "variants": 1, "variant_views": 3}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    config = from_dict(
        compose(["experiment=random_objects", f"dataset.path={tmp_path / 'plan.yaml'}", "dataset.image_size=64", "train=smoke"])
    )
    dataset = dataclasses.replace(config.dataset, val_fraction=0.25, test_fraction=0.3)
    fetch(dataset, tmp_path / "raw")
    prepare(dataset, tmp_path / "raw", tmp_path / "prepared")
    data = PreparedData(tmp_path / "prepared")
    split = data.split("train")
    assert split.gather(np.arange(4)).shape == (4, 64, 64, 3)
    partners = find_partners(data, split, config.views.pairs)
    assert partners is not None
    run = start_run(config, "key", torch.device("cpu"))
    for batch in Reader(split, partners, dataclasses.replace(config.train, batch_size=8), posed=True).stream(0, 3):
        assert torch.isfinite(optimise(run, run.model, config, batch))
    found = measured(run.ema.eval(), data, config, targets=1, samples=1, batch_size=8)
    assert found.drawn[2].mean.shape[1:] == (64, 64, 3) and np.isfinite(found.metrics["psnr@1"])
