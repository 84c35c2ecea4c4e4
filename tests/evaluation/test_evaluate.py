"""The evaluation stage: the model stays as it is, baselines are what they say, and no data set is too awkward."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from soda.config import Config
from soda.data.dataset import PreparedData
from soda.evaluation import baselines
from soda.evaluation import evaluate as stage
from soda.evaluation.baselines import accuracy, calibrate_batchnorm, initial_encoder, train_supervised
from soda.evaluation.evaluate import EvaluationError, evaluate
from soda.evaluation.kept import Keeping
from soda.evaluation.latents import (
    FrozenError,
    draw_sample,
    effective_dim,
    frozen,
    latent_use,
    pixels,
    shuffled,
    weights_hash,
)
from soda.evaluation.metrics import FixedNetwork
from soda.evaluation.reconstruct import Judge, reconstruct
from soda.model.network import SodaNetwork, build_model
from soda.training.checkpoint import save_model
from soda.training.step import start_run
from soda.viz.charts import can_be_coloured, confusion, plane
from soda.viz.grids import spread_picks, thumbnail
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config

CPU = torch.device("cpu")
FAST = (
    "train.images=96",
    "evaluate.reconstructions=12",
    "evaluate.fid_images=16",
    "evaluate.batch_size=16",
    "evaluate.probe_l2=[0.01]",
)
GALLERY = {"walks", "mix_cuts", "directions", "reconstruction_cost"}


def bars_and_dots(count: int = 100, size: int = 16, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Pictures of two kinds by turns, each on a noisy ground: (count, size, size, channels) uint8."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 60, (count, size, size, channels), dtype=np.uint8)
    images[::2, 6:10] += 150
    images[1::2, 6:10, 6:10] += 150
    return images


def add_drift(model: nn.Module) -> nn.Module:
    """BatchNorm statistics and a modulation that are not those of a fresh model."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


def save_random_model(folder: Path, config: Config) -> Path:
    torch.manual_seed(0)
    save_model(folder, add_drift(build_model(config).eval()), config, data_version="0", images=0)  # type: ignore[arg-type]
    return folder


def run(tmp_path: Path, config: Config, prepared: Path, name: str = "a") -> tuple[dict[str, Any], Path]:
    figures = tmp_path / name / "figures"
    model = save_random_model(tmp_path / "model", config)
    out = tmp_path / name
    found = evaluate(config.evaluate, model, prepared, out / "e.json", figures, out / "directions.safetensors", out / "runs")
    assert json.loads((tmp_path / name / "e.json").read_text()) == json.loads(json.dumps(found))
    return found, figures


def numbers(group: dict[str, Any]) -> dict[str, float]:
    return {key: value for key, value in group.items() if key != "notes"}


# Frozen


def test_a_weight_that_changes_is_noticed() -> None:
    model = nn.Linear(3, 3).eval()
    with pytest.raises(FrozenError, match="changed"), frozen(model), torch.no_grad():
        model.weight[1, 2] += 1e-6


def test_batch_statistics_that_change_are_noticed() -> None:
    model = nn.BatchNorm2d(3).eval()
    with pytest.raises(FrozenError), frozen(model):
        model.train()(torch.randn(4, 3, 2, 2))
        model.eval()


def test_training_mode_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).eval()
    model[1].train()
    with pytest.raises(FrozenError, match="1 is in training mode"), frozen(model):
        pass


def test_the_hash_depends_on_values_and_names() -> None:
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    two.load_state_dict(one.state_dict())
    assert weights_hash(one) == weights_hash(two)
    assert weights_hash(one) != weights_hash(nn.Sequential(one))


# Latents


def test_shuffling_leaves_nothing_in_its_place() -> None:
    for count in (2, 3, 10, 101):
        order = shuffled(count, seed=count)
        assert sorted(order) == list(range(count))
        assert (order != np.arange(count)).all()


def test_a_fresh_denoiser_does_not_use_z_and_one_that_draws_z_does(small_config: Config) -> None:
    torch.manual_seed(0)
    images = torch.rand(8, 1, 16, 16) * 2 - 1
    fresh = build_model(small_config).eval()  # modulation starts at nought
    assert latent_use(fresh, images, seed=0, batch_size=4).gap == 0

    class Copier(SodaNetwork):
        def encode(self, images: Tensor, cameras: Tensor | None = None) -> Tensor:
            return images.flatten(1)

        def loss(self, batch: Any, draws: Any, *, encoded: Any = None, reduction: str = "mean") -> Tensor:
            return (encoded[0] - batch.target.flatten(1)).square().mean(1) + 0.01

    copier = Copier(model=small_config.model, diffusion=small_config.diffusion, image_size=16, channels=1).eval()
    use = latent_use(copier, images, seed=0, batch_size=3)
    assert use.loss == pytest.approx(0.01)
    assert use.gap > 1


def test_effective_dim_counts_directions() -> None:
    x = torch.randn(4000, 10, generator=torch.Generator().manual_seed(0))
    assert effective_dim(x) == pytest.approx(10, rel=0.05)
    assert effective_dim(x * torch.tensor([1.0] * 3 + [0.0] * 7)) == pytest.approx(3, rel=0.05)
    assert effective_dim(torch.ones(5, 10)) == 0


def test_samples_of_a_split_are_seeded_and_keep_their_labels(tmp_path: Path) -> None:
    split = PreparedData(make_prepared(tmp_path, n=60)).split("train")
    sample = draw_sample(split, 20, seed=0)
    assert len(sample) == len(np.unique(sample.indices)) == 20
    assert np.array_equal(sample.indices, draw_sample(split, 20, seed=0).indices)
    assert np.array_equal(sample.labels, split.labels[sample.indices])
    assert len(draw_sample(split, 1000, seed=0)) == len(split)


def test_large_pictures_are_averaged_before_their_pixels_are_probed(tmp_path: Path) -> None:
    split = PreparedData(make_prepared(tmp_path, n=10, size=64, channels=3)).split("train")
    sample = draw_sample(split, 100, seed=0)
    x = pixels(sample, batch_size=4).x
    assert x.shape == (len(split), 3 * 32 * 32)
    assert float(x.mean()) == pytest.approx(split.gather(sample.indices).mean() / 255, rel=1e-4)


# Baselines


def test_the_untrained_encoder_is_the_one_that_training_starts_from(small_config: Config) -> None:
    start = start_run(small_config, "key", CPU).model.encoder
    assert weights_hash(initial_encoder(small_config)) == weights_hash(start)


def test_making_baselines_leaves_the_random_state_alone(small_config: Config) -> None:
    before = torch.get_rng_state()
    initial_encoder(small_config)
    assert torch.equal(torch.get_rng_state(), before)


def test_calibrated_batchnorm_normalises_and_keeps_its_momentum() -> None:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, momentum=0.3))
    images = 5 * torch.randn(64, 1, 16, 16) + 2
    calibrate_batchnorm(encoder, images, batch_size=16)
    with torch.no_grad():
        out = encoder(images).transpose(0, 1).flatten(1)
    torch.testing.assert_close(out.mean(1), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(out.std(1), torch.ones(4), atol=0.02, rtol=0)
    assert encoder[1].momentum == 0.3
    assert not encoder.training


def test_the_supervised_network_learns_is_the_same_each_time_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config("dataset.channels=3", "train.images=1280", "train.lr=0.003")
    data = PreparedData(make_prepared(tmp_path, pixels=bars_and_dots(), labels=("bar", "dot")))
    train, test = (draw_sample(data.split(name), 1000, seed=0) for name in ("train", "test"))
    keeping = Keeping(tmp_path / "runs", "data")
    first, second = (train_supervised(config, train, 2, device=CPU, keeping=each) for each in (None, keeping))
    with monkeypatch.context() as patch:
        patch.setattr(baselines.F, "cross_entropy", None)  # a finished one is not trained again, whatever the threads
        threads = replace(config, train=replace(config.train, threads=1, log_every_images=64))
        kept = train_supervised(threads, train, 2, device=CPU, keeping=keeping)
    assert weights_hash(first) == weights_hash(second) == weights_hash(kept)
    assert accuracy(kept, test, batch_size=7, device=CPU) == 1.0
    longer = replace(config, train=replace(config.train, images=1600))
    assert weights_hash(train_supervised(longer, train, 2, device=CPU, keeping=keeping)) != weights_hash(first)
    assert len(list((tmp_path / "runs").iterdir())) == 2
    fewer = replace(train, indices=train.indices[1:])
    train_supervised(config, fewer, 2, device=CPU, keeping=keeping)
    assert len(list((tmp_path / "runs").iterdir())) == 3, "of other pictures another network"
    assert accuracy(first, test, batch_size=7, device=CPU) == 1.0


def test_supervision_wants_two_labels(tmp_path: Path, small_config: Config) -> None:
    data = PreparedData(make_prepared(tmp_path, size=16, labels=("only",)))
    with pytest.raises(ValueError, match="two labels"):
        train_supervised(small_config, draw_sample(data.split("train"), 100, 0), 1, device=CPU)


# Reconstruction


def test_reconstructions_follow_from_z_and_the_seed(small_config: Config) -> None:
    torch.manual_seed(0)
    model = add_drift(build_model(small_config).eval())
    assert isinstance(model, SodaNetwork)
    z = torch.randn(5, 16)
    first = reconstruct(model, z, seed=0, batch_size=5)
    assert first.shape == (5, 16, 16, 1)
    assert first.dtype == np.uint8
    assert np.array_equal(first, reconstruct(model, z, seed=0, batch_size=5))
    assert not np.array_equal(first, reconstruct(model, z, seed=0, sample=1, batch_size=5))
    assert not np.array_equal(first, reconstruct(model, -z, seed=0, batch_size=5))


def test_the_judge_finds_a_picture_nearest_to_itself(small_config: Config) -> None:
    encoder = initial_encoder(make_config("dataset.channels=3"))
    judge = Judge(FixedNetwork(encoder), device=CPU, batch_size=7)
    images = bars_and_dots(20)
    noisy = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    same, far = judge.nearness(images, images), judge.nearness(noisy, images)
    assert same.psnr.shape == (20,)
    assert (same.psnr > far.psnr).all()
    assert (same.ssim > far.ssim).all()
    assert (same.lpips_like < far.lpips_like).all()
    assert judge.fid_like(images, images) < 1e-3 < judge.fid_like(noisy, images)


# Figures


def test_every_label_is_seen_before_any_is_seen_twice() -> None:
    labels = np.array([0] * 50 + [1] * 3 + [2] * 2 + [-1])
    picks = spread_picks(labels, 8, seed=0)
    assert len(set(picks)) == 8
    assert set(labels[picks[:4]]) == {-1, 0, 1, 2}
    assert np.array_equal(picks, spread_picks(labels, 8, seed=0))
    assert sorted(spread_picks(labels, 100, seed=0)) == list(range(56))


def test_small_pictures_grow_by_whole_factors_and_large_ones_shrink() -> None:
    small, large = (np.random.default_rng(0).integers(0, 256, (s, s, 1), dtype=np.uint8) for s in (28, 300))
    grown = thumbnail(small, 128)
    assert grown.shape == (112, 112, 3)
    assert np.array_equal(grown[::4, ::4, :1], small)
    assert thumbnail(large, 128).shape == (128, 128, 3)


def test_confusions_are_counted_by_true_row_and_answered_column(tmp_path: Path) -> None:
    targets, answers = np.array([0, 0, 2, 2, 2]), np.array([0, 2, 2, 2, 0])
    count = confusion(targets, answers, ["a", "never", "c"], tmp_path / "c.png")
    assert count.tolist() == [[1, 1], [1, 2]]


@pytest.mark.parametrize("count", [1, 2, 3, 12, 40])
def test_the_plane_takes_any_number_of_latents(count: int) -> None:
    z = np.random.default_rng(0).standard_normal((count, 5)).astype(np.float32)
    points = plane(z, seed=0)
    assert points.shape == (count, 2)
    assert np.isfinite(points).all()
    assert np.isfinite(plane(np.ones_like(z), seed=0)).all()


def test_too_many_labels_are_not_coloured() -> None:
    assert can_be_coloured(np.array([-1, 0, 1]))
    assert not can_be_coloured(np.array([-1, -1]))
    assert not can_be_coloured(np.arange(21))


# The stage


def test_all_that_the_report_wants_is_measured_and_drawn(tmp_path: Path) -> None:
    config = make_config("dataset.channels=3", *FAST)
    prepared = make_prepared(tmp_path / "data", pixels=bars_and_dots(), labels=("bar", "dot"))
    found, figures = run(tmp_path, config, prepared)
    wanted = {"linear_top1", "knn_top1", "pixels_linear_top1", "random_linear_top1", "supervised_top1", "majority_top1"}
    assert wanted < set(found["probe"])
    assert all(0 <= found["probe"][key] <= 1 for key in wanted)
    assert found["probe"]["pixels_linear_top1"] == 1.0  # bars and dots are told apart by their pixels
    assert found["probe"]["majority_top1"] == 0.5
    assert {"psnr", "psnr_std", "ssim", "lpips_like", "fid_like", "psnr_shuffled_z", "psnr_mean_picture"} < set(
        found["reconstruction"]
    )
    assert found["reconstruction"]["pictures"] == 12
    assert "usage_gap" in found["latent"]
    for group in found.values():
        assert group["notes"]
        assert all(isinstance(v, (int, float)) and np.isfinite(v) for v in numbers(group).values())
    assert {"exact_psnr", "lpips_like@10"} < set(found["reconstruction"])
    assert found["interpolation"]["path_length"] > 0
    names = {"reconstructions", "neighbours", "latent_map", "latent_map_pictures", "confusion", "probe"}
    names |= GALLERY
    assert {path.name for path in figures.iterdir()} == {f"{name}.png" for name in names}

    again, others = run(tmp_path, config, prepared, "b")
    assert again == found
    assert all((figures / f"{name}.png").read_bytes() == (others / f"{name}.png").read_bytes() for name in names)


def test_without_labels_everything_else_is_there(tmp_path: Path) -> None:
    prepared = make_prepared(tmp_path / "data", pixels=bars_and_dots(channels=1), labels=None)
    found, figures = run(tmp_path, make_config(*FAST), prepared)
    assert numbers(found["probe"]) == {}
    assert "0 labels" in found["probe"]["notes"][0]
    assert {"psnr", "fid_like"} < set(found["reconstruction"])
    assert "untrained encoder" in " ".join(found["reconstruction"]["notes"])
    assert {path.stem for path in figures.iterdir()} == GALLERY | {"reconstructions", "neighbours", "latent_map"}


def test_partly_labelled_with_lone_and_unseen_labels(tmp_path: Path) -> None:
    def edit(manifest: pd.DataFrame) -> pd.DataFrame:
        train, test = (np.flatnonzero(manifest["split"] == name) for name in ("train", "test"))
        manifest.loc[manifest["split"] == "val", "label"] = ""
        manifest.loc[train[::3], "label"] = ""
        manifest.loc[train[1], "label"] = "alone"
        manifest.loc[test[0], "label"] = "unseen"
        manifest.loc[test[1], "label"] = ""
        return manifest

    prepared = make_prepared(tmp_path / "data", pixels=bars_and_dots(channels=1), labels=("bar", "dot"), edit=edit)
    found, _ = run(tmp_path, make_config(*FAST), prepared)
    assert found["probe"]["test_labels"] == 19
    assert found["probe"]["pixels_linear_top1"] <= 18 / 19
    assert "linear_val_top1" not in found["probe"]
    assert any("occur in no training picture" in note for note in found["probe"]["notes"])


def test_a_single_test_picture_is_enough(tmp_path: Path) -> None:
    prepared = make_prepared(tmp_path / "data", pixels=bars_and_dots(40, channels=1), splits=(0.025, 0.025))
    found, figures = run(tmp_path, make_config(*FAST, "evaluate.supervised=false"), prepared)
    assert found["probe"]["test_labels"] == 1
    assert "usage_gap" not in found["latent"]
    assert "supervised_top1" not in found["probe"]
    assert (figures / "reconstructions.png").exists()


def test_pictures_of_another_size_are_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    config, out, figures = make_config(*FAST), tmp_path / "e.json", tmp_path / "figures"
    out.write_text("earlier")
    figures.mkdir()
    (figures / "earlier.png").write_text("earlier")
    model = save_random_model(tmp_path / "model", config)
    prepared = make_prepared(tmp_path / "data", size=8)
    with pytest.raises(EvaluationError, match=r"image_size = 16.*pictures of 8"):
        evaluate(config.evaluate, model, prepared, out, figures, tmp_path / "d", tmp_path / "runs")
    assert out.read_text() == (figures / "earlier.png").read_text() == "earlier"


def test_a_failure_half_way_leaves_the_earlier_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, out, figures = make_config(*FAST, "evaluate.supervised=false"), tmp_path / "e.json", tmp_path / "figures"
    out.write_text("earlier")
    figures.mkdir()
    (figures / "earlier.png").write_text("earlier")

    def burst(*args: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(stage, "_charts", burst)
    prepared = make_prepared(tmp_path / "data", pixels=bars_and_dots(40, channels=1))
    with pytest.raises(OSError, match="disk full"):
        model = save_random_model(tmp_path / "model", config)
        evaluate(config.evaluate, model, prepared, out, figures, tmp_path / "d", tmp_path / "runs")
    assert out.read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "e.json", "figures", "model"]
    assert [path.name for path in figures.iterdir()] == ["earlier.png"]


def test_an_encoder_changed_on_the_way_stops_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(*FAST, "evaluate.supervised=false")
    measure = stage._use

    def meddle(model: SodaNetwork, *args: Any) -> dict[str, Any]:
        with torch.no_grad():
            next(model.encoder.parameters()).mul_(1.001)
        return measure(model, *args)

    monkeypatch.setattr(stage, "_use", meddle)
    prepared = make_prepared(tmp_path / "data", pixels=bars_and_dots(40, channels=1))
    with pytest.raises(FrozenError, match="changed"):
        run(tmp_path, config, prepared)
    assert not (tmp_path / "a" / "e.json").exists()
    assert not (tmp_path / "a" / "figures").exists()
