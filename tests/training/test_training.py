"""The parts of training: order, rates, average, checkpoints, the use of z."""

from __future__ import annotations

import dataclasses
import hashlib
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from soda.common.seeds import seed_of
from soda.config import Config
from soda.model.batch import LossDraws, ViewBatch
from soda.model.network import SodaNetwork, build_model
from soda.training.batches import Order
from soda.training.checkpoint import (
    CheckpointError,
    load_checkpoint,
    load_model,
    model_metadata,
    run_key,
    save_checkpoint,
    save_model,
)
from soda.training.distributed import Processes, choose_device
from soda.training.ema import ema_copy, update_ema
from soda.training.finished import drop_recorded, mark_finished
from soda.training.optim import build_optimizer, learning_rate
from soda.training.step import optimise, start_run
from soda.training.usage import measure_use
from tests.support.models import awake
from tests.support.settings import make_config


def test_an_epoch_shows_each_picture_once_and_the_next_in_another_order() -> None:
    order = Order(10, seed=0)
    first, second = order.indices(0, 10), order.indices(10, 10)
    assert sorted(first) == sorted(second) == list(range(10)) and not np.array_equal(first, second)


def test_the_order_does_not_depend_on_where_one_starts() -> None:
    whole = Order(7, seed=3).indices(0, 50)
    assert np.array_equal(np.concatenate([Order(7, seed=3).indices(s, 5) for s in range(0, 50, 5)]), whole)
    assert not np.array_equal(Order(7, seed=4).indices(0, 50), whole)


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Order(0, seed=0)


def test_seeds_differ_by_each_of_their_parts() -> None:
    seeds = {seed_of("step", seed, rank, step) for seed in range(5) for rank in range(5) for step in range(5)}
    assert len(seeds) == 125 and all(0 <= s < 2**63 for s in seeds)


def test_the_rate_warms_up_and_decays_to_nought() -> None:
    config = make_config("train.images=1000", "train.batch_size=10", "train.warmup_images=100", "train.lr=0.5").train
    rates = [learning_rate(config, images) for images in range(0, 1001, 10)]
    assert rates[0] == pytest.approx(0.05) and max(rates) == max(rates[5:20]) and rates[-1] == pytest.approx(0, abs=1e-12)
    flat = make_config(
        "train.images=1000", "train.batch_size=10", "train.warmup_images=0", "train.lr_decay=none", "train.lr=0.5"
    ).train
    assert {learning_rate(flat, images) for images in (0, 500, 1000)} == {0.5}


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_norms_and_biases_do_not_decay_and_the_encoder_has_its_rate(small_config: Config, name: str) -> None:
    model, settings = build_model(small_config), make_config(f"train.optimizer={name}", "train.encoder_lr_factor=2.0").train
    optimizer = build_optimizer(model, settings)
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(model.parameters()))
    encoder = {id(p) for p in model.encoder.parameters()}
    for group in optimizer.param_groups:
        for p in group["params"]:
            assert (group["weight_decay"] > 0) == (p.ndim > 1)
            rate = settings.muon_lr / settings.lr if group.get("muon") else 1.0
            assert group["lr_factor"] == (2.0 if id(p) in encoder else 1.0) * rate


def test_the_average_follows_its_formula_and_forgets_the_start(small_config: Config) -> None:
    model = build_model(small_config)
    ema = ema_copy(model)
    before, settings = [p.clone() for p in ema.parameters()], dataclasses.replace(small_config.train, ema_decay=0.9)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1)
    update_ema(ema, model, settings, step=0)  # (1 + 0) / (10 + 0) < 0.9
    for mine, old, new in zip(ema.parameters(), before, model.parameters(), strict=True):
        torch.testing.assert_close(mine, 0.1 * old + 0.9 * new)
    update_ema(ema, model, settings, step=10_000)
    for mine, old, new in zip(ema.parameters(), before, model.parameters(), strict=True):
        torch.testing.assert_close(mine, 0.9 * (0.1 * old + 0.9 * new) + 0.1 * new)


def test_a_batch_is_shared_equally_or_refused() -> None:
    cpu = torch.device("cpu")
    shares = [Processes(r, 4, cpu).share(12) for r in range(4)]
    assert [list(range(12))[s] for s in shares] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    with pytest.raises(ValueError, match=r"train\.batch_size: 10 .* 4 processes"):
        Processes(0, 4, cpu).share(10)


def test_cuda_is_not_imagined() -> None:
    if torch.cuda.is_available():
        assert choose_device("cuda").type == "cuda"
    else:
        with pytest.raises(ValueError, match=r"train\.device: 'cuda'"):
            choose_device("cuda")
    assert choose_device("cpu").type == "cpu"


def test_a_model_comes_back_as_it_went(tmp_path: Path, small_config: Config) -> None:
    model = build_model(small_config)
    save_model(tmp_path / "m", model, small_config, data_version="abc", images=640)
    again, config = load_model(tmp_path / "m")
    assert config == small_config and not again.training
    for (name, a), (other, b) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == other and torch.equal(a, b)
    assert model_metadata(tmp_path / "m")["data_version"] == "abc"


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign", "config", "config bytes", "other size"])
def test_a_damaged_model_is_refused_by_name(tmp_path: Path, small_config: Config, damage: str) -> None:
    folder = tmp_path / "m"
    save_model(folder, build_model(small_config), small_config, data_version="abc", images=1)
    weights, settings = folder / "model.safetensors", folder / "config.yaml"
    if damage == "missing":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "foreign":
        weights.write_bytes(b"not safetensors at all")
    elif damage == "config":
        settings.write_text(settings.read_text().replace("latent_dim: 16", "latent_dim: sixteen"))
    elif damage == "config bytes":
        settings.write_bytes(b"\xff" + settings.read_bytes())
    else:
        values = yaml.safe_load(settings.read_text())
        values["model"]["latent_dim"] = 32
        settings.write_text(yaml.safe_dump(values))
    named = r"config\.yaml" if damage in ("config", "config bytes", "other size") else r"model\.safetensors"
    with pytest.raises(CheckpointError, match=named):
        load_model(folder)


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "foreign", "pickle", "other run"])
def test_a_damaged_or_foreign_checkpoint_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"key": "k", "step": 3, "model": {"w": torch.ones(1000)}})
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-500])
    elif damage == "text":
        path.write_text("hello")
    elif damage == "foreign":
        torch.save({"weights": torch.ones(3)}, path)
    elif damage == "pickle":
        torch.save({"format": 1, "key": "k", "model": Path("x")}, path)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt"):
        load_checkpoint(path, "another" if damage == "other run" else "k")


@pytest.mark.parametrize("damage", ["a byte", "truncated", "empty"])
def test_a_damaged_checkpoint_is_replaced_by_the_one_before_it(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "checkpoint.pt"
    for step in (1, 2):
        save_checkpoint(path, {"key": "k", "step": step, "rows": [{"loss": 0.1 * step}], "model": {"w": torch.ones(1000) * step}})
    assert load_checkpoint(path, "k")["step"] == 2 and not caplog.messages
    content = bytearray(path.read_bytes())
    place = content.index(torch.ones(4).mul(2).numpy().tobytes()) + 400  # within the weights
    content[place] ^= 1
    path.write_bytes({"a byte": bytes(content), "truncated": bytes(content[:-500]), "empty": b""}[damage])
    state = load_checkpoint(path, "k")
    assert state["step"] == 1 and state["model"]["w"].eq(1).all()
    assert "checkpoint.pt" in caplog.text and "going on from the one before it" in caplog.text
    save_checkpoint(path, {"key": "k", "step": 3})  # the damaged one is not kept for the next time
    path.write_bytes(b"")
    assert load_checkpoint(path, "k")["step"] == 1
    path.write_bytes(b"")
    path.with_name("checkpoint.previous.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"nor is the one before it.*remove both"):
        load_checkpoint(path, "k")


def test_a_finished_run_stays_until_dvc_has_recorded_it(tmp_path: Path) -> None:
    run, figures, lock = tmp_path / "runs/key", tmp_path / "train.json", tmp_path / "dvc.lock"
    run.mkdir(parents=True)
    figures.write_text("{}")
    mark_finished(run, figures)
    out = {"path": figures.as_posix(), "md5": hashlib.md5(b"an earlier result").hexdigest()}
    for content in (None, "", yaml.safe_dump({"stages": {"train": {"outs": [out]}}})):
        if content is not None:
            lock.write_text(content)
        assert drop_recorded(tmp_path / "runs", lock) == [] and run.exists()
    out["md5"] = hashlib.md5(b"{}").hexdigest()
    lock.write_text(yaml.safe_dump({"stages": {"train": {"outs": [out]}}}))
    assert drop_recorded(tmp_path / "runs", lock) == [run] and not run.exists()


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"key": "k", "step": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # the system refuses to write more
    try:
        with pytest.raises(CheckpointError, match=r"checkpoint\.pt.*the one before it is untouched"):
            save_checkpoint(path, {"key": "k", "step": 2, "model": {"w": torch.ones(1_000_000)}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert load_checkpoint(path, "k")["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_run_is_known_by_what_decides_its_weights() -> None:
    base = run_key(make_config(), "v1")
    assert run_key(make_config("train.log_every_images=7", "evaluate.seed=9"), "v1") == base
    others = [run_key(make_config(o), "v1") for o in ("train.lr=0.1", "train.seed=1", "diffusion.schedule=linear", "views=paper")]
    assert len({base, run_key(make_config(), "v2"), *others}) == 6


def test_the_use_of_z_is_nought_for_a_denoiser_that_ignores_it(small_config: Config) -> None:
    torch.manual_seed(0)
    model = build_model(small_config)
    torch.nn.init.normal_(model.denoiser.conv_out.weight, std=0.1)
    batch = ViewBatch.of(torch.rand(16, 1, 16, 16) * 2 - 1)
    ignored = measure_use(model, batch, 0, gradient=True)
    assert ignored.gap == pytest.approx(0, abs=1e-6) and ignored.z_grad_norm == 0  # the modulations begin at zero
    for block in (*model.denoiser.down, *model.denoiser.up):
        torch.nn.init.normal_(block.modulation.from_latent.weight, std=1.0)
    used = measure_use(model, batch, 0, gradient=True)
    assert used.z_grad_norm > 0 and used.gap != 0
    assert measure_use(model, batch, 0, gradient=True) == used


def test_the_use_of_z_does_not_depend_on_the_size_of_batches_and_meets_strangers(small_config: Config) -> None:
    images = torch.rand(8, 1, 16, 16) * 2 - 1

    class Copier(SodaNetwork):
        def encode(self, images: Tensor, cameras: Tensor | None = None) -> Tensor:
            return images.flatten(1)

        def loss(self, batch: ViewBatch, draws: LossDraws, *, encoded: Any = None, reduction: str = "mean") -> Tensor:
            return (encoded[0] - batch.target.flatten(1)).square().mean(1) + 0.01

    copier = Copier(model=small_config.model, diffusion=small_config.diffusion, image_size=16, channels=1)
    use = measure_use(copier, ViewBatch.of(images), 0, times=8, batch_size=3)
    assert use.loss == pytest.approx(0.01) and use.gap > 1
    near = images.clone()
    near[1::2] = near[::2]  # each has a twin beside it
    twins = measure_use(copier, ViewBatch.of(near), 0, strangers=torch.arange(8) ^ 1)
    assert twins.gap == pytest.approx(0) and measure_use(copier, ViewBatch.of(near), 0).gap > 1
    model = awake(small_config)
    whole, parts = (measure_use(model, ViewBatch.of(images), 0, times=4, batch_size=size) for size in (8, 3))
    assert whole.loss == pytest.approx(parts.loss) and whole.loss_shuffled == pytest.approx(parts.loss_shuffled)


def test_a_latent_that_sections_do_not_divide_is_trained_without_masking_them() -> None:
    config = make_config("model.layer_modulation=false", "model.section_drop=0", "model.latent_dim=18", "dataset.channels=1")
    run = start_run(config, "key", torch.device("cpu"))
    run.model.train()
    assert torch.isfinite(optimise(run, run.model, config, ViewBatch.of(torch.randn(4, 1, 16, 16))))
