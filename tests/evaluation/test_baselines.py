"""Baselines are what they say, the same each time, and kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from soda.common.images import to_float
from soda.config import Config
from soda.data.dataset import PreparedData
from soda.evaluation.baselines import factor_reader, supervised
from soda.evaluation.baselines.beta_vae import BetaVAE, images_of_equal_compute, train_beta_vae
from soda.evaluation.baselines.factor_reader import read, train_reader
from soda.evaluation.baselines.supervised import accuracy, train_supervised
from soda.evaluation.baselines.total_correlation import total_correlation
from soda.evaluation.baselines.untrained import calibrate_batchnorm, initial_encoder
from soda.evaluation.frozen import weights_hash
from soda.evaluation.mix_scores import (
    retrieve_held_out,
)
from soda.evaluation.samples import draw_sample, embed
from soda.training.fit import Keeping
from soda.training.step import start_run
from tests.support.prepared_factory import make_prepared
from tests.support.settings import DEFAULT, make_config
from tests.support.shapes import COLOURS, bars_and_dots, render

CPU = torch.device("cpu")


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
        patch.setattr(supervised.F, "cross_entropy", None)  # a finished one is not trained again, whatever the threads
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


def test_the_reader_learns_factors_and_recognises_content_that_it_never_saw(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    patterns = generator.integers(0, 2, (60, 4, 4))  # contents; the last 12 are held out
    content, style = np.repeat(np.arange(60), 3), np.tile(np.arange(3), 60)
    pictures = np.kron(patterns[content], np.ones((4, 4), int))[..., None] * COLOURS[style][:, None, None]
    pixels = (pictures + generator.integers(0, 20, pictures.shape)).clip(0, 255).astype(np.uint8)
    data = PreparedData(make_prepared(tmp_path, pixels=pixels, labels=None, splits=(0.0, 0.2)))
    train, held = draw_sample(data.split("train"), 1000, 0), slice(144, 180)
    codes = {"style": style[:144], "code": content[:144]}
    protocol = replace(DEFAULT.evaluate, reader_images=6400)
    reader = train_reader(train, codes, {"style": 3}, content="code", config=protocol, device=CPU)
    reading = read(reader, pixels[held])
    assert factor_reader.accuracy(reading, {"style": style[held]}) == {"style": 1.0}
    assert reading.embedding is not None
    others = (style[held] + 1) % 3  # recognise a content by its pictures in another style
    right, chance = retrieve_held_out(reading.embedding, content[held], others, reading.embedding, content[held], style[held])
    assert chance == pytest.approx(1 / 12)
    assert right > 0.5
    with pytest.raises(ValueError, match="at least one factor"):
        train_reader(train, codes, {}, content=None, config=protocol, device=CPU)


def test_the_beta_vae_learns_resumes_to_the_same_weights_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config("dataset.channels=3", "train.images=640", "train.lr=0.003")
    generator = np.random.default_rng(0)
    pixels = render(generator.integers(0, 3, 100), generator.integers(0, 4, 100))
    train = draw_sample(PreparedData(make_prepared(tmp_path / "data", pixels=pixels)).split("train"), 100, 0)
    settings: dict[str, Any] = {"images": 640, "beta": 1.0, "device": CPU}
    straight = train_beta_vae(config, train, **settings)

    images = to_float(train.gather(np.arange(40)))
    z = embed(straight, train, batch_size=32, device=CPU).x
    assert z.shape == (len(train), 16)
    monkeypatch.setattr("soda.training.fit.SAVE_EVERY", 5)
    keeping = Keeping(tmp_path / "runs", "data")
    forward, steps = BetaVAE.forward, []

    def stopping(*args: Any) -> Tensor:
        steps.append(1)
        if len(steps) == 13:
            raise KeyboardInterrupt
        return forward(*args)

    monkeypatch.setattr(BetaVAE, "forward", stopping)
    with pytest.raises(KeyboardInterrupt):
        train_beta_vae(config, train, keeping=keeping, **settings)
    resumed = train_beta_vae(config, train, keeping=keeping, **settings)
    assert len(steps) == 13 + 10  # from the last save, at step 10 of 20
    assert weights_hash(resumed) == weights_hash(straight)
    steps.clear()
    kept = train_beta_vae(config, train, keeping=keeping, **settings)
    assert not steps
    assert weights_hash(kept) == weights_hash(straight)

    torch.manual_seed(0)
    fresh, trained = BetaVAE(config), BetaVAE(config)
    (checkpoint,) = (tmp_path / "runs").glob("*/checkpoint.pt")
    trained.load_state_dict(torch.load(checkpoint, weights_only=True)["model"])
    noise = torch.randn(40, 16)
    before, after = (float(network(images, noise, 1.0).detach()) for network in (fresh, trained))
    assert after < before - 0.02  # most of it is the entropy of grey pixels, which no training takes away
    assert float(trained(images, noise, 4.0).detach()) > after  # the divergence is a penalty


def test_equal_computation_is_counted_the_same_way_each_time() -> None:
    config = make_config("dataset.channels=3")
    seen = images_of_equal_compute(config)
    assert seen == images_of_equal_compute(config)
    assert seen > config.train.images  # one cheap decoder in place of a U-Net
    assert images_of_equal_compute(config, 0.5) == pytest.approx(seen / 2, rel=0.02)


def test_equal_computation_counts_every_view_that_training_encodes() -> None:
    plain, pair = make_config("dataset.channels=3"), make_config("dataset.channels=3", "views=content")
    one = images_of_equal_compute(plain)
    assert images_of_equal_compute(pair) == one  # one view is encoded, the other one denoised
    for more in ("views.pairs.sources=3", "views.pairs.style_sections=1"):
        assert images_of_equal_compute(make_config("dataset.channels=3", "views=content", more)) > 1.1 * one


def test_a_beta_tcvae_differs_from_a_beta_vae_by_the_total_correlation_alone() -> None:
    config = make_config("dataset.channels=3")
    torch.manual_seed(0)
    vae, size = BetaVAE(config), config.dataset.image_size
    images, noise = torch.rand(32, 3, size, size) * 2 - 1, torch.randn(32, config.model.latent_dim)
    with torch.no_grad():
        plain = vae(images, noise, 1.0)
        assert float(vae(images, noise, 1.0, points=1000)) == pytest.approx(float(plain))  # beta 1 weighs nothing more
        mean, log_variance = vae.encoder(images).chunk(2, dim=1)
        z = mean + (0.5 * log_variance).exp() * noise
        extra = 3 * total_correlation(z, mean, log_variance, 1000) / images[0].numel()
        assert float(vae(images, noise, 4.0, points=1000)) == pytest.approx(float(plain + extra), rel=1e-5)
