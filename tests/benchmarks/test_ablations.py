"""The ablations: verdicts that follow from the numbers, settings that are possible, runs that are not done twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import ablation_run, ablations
from benchmarks.ablation_report import judge
from benchmarks.ablation_run import train_for, varied
from benchmarks.ablation_variants import BASE, CLAIMS, VARIANTS, Claim
from benchmarks.ablations import ablate
from soda.config import ConfigError
from soda.data.dataset import PreparedData
from soda.evaluation.factors import read_factors
from soda.evaluation.frozen import weights_hash
from soda.evaluation.samples import draw_sample
from soda.training.step import start_run
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config
from tests.support.shapes import render


def test_verdicts_follow_from_means_and_spreads() -> None:
    claim = Claim("more is better", "a", "b", "probe")
    runs = {"a": [{"probe": v} for v in (0.80, 0.81, 0.82)], "b": [{"probe": v} for v in (0.70, 0.71, 0.72)]}
    difference, error, verdict = judge(claim, runs) or (0.0, 0.0, "")
    assert difference == pytest.approx(0.10)
    assert error == pytest.approx((2 * 0.01**2 / 3) ** 0.5)
    assert verdict == "**holds**"
    assert (judge(claim, {"a": runs["b"], "b": runs["a"]}) or ("", "", ""))[2].startswith("**does not hold**")
    assert (judge(Claim("", "a", "b", "probe", less=True), runs) or ("", "", ""))[2].startswith("**does not hold**")
    wide = {"a": [{"probe": v} for v in (0.6, 0.9)], "b": [{"probe": v} for v in (0.5, 0.8)]}
    assert (judge(claim, wide) or ("", "", ""))[2] == "no difference seen"
    assert judge(claim, {"a": runs["a"], "b": runs["b"][:1]}) is None


def test_every_variant_and_claim_is_possible() -> None:
    base = varied(make_config(), BASE | {"model.latent_dim": 128})
    for variant in VARIANTS.values():
        config = varied(base, variant.changes)
        assert (config != base) == bool(variant.changes)
    assert {name for claim in CLAIMS for name in (claim.better, claim.worse)} == set(VARIANTS)
    styled = varied(make_config("views=styled"), BASE | {"model.latent_dim": 128})  # ablations feed single pictures, no pairs
    assert styled.views == base.views and styled.views.reconstructs
    assert varied(styled, VARIANTS["modulation_off"].changes).views.pairs.by == "picture"
    with pytest.raises(ConfigError, match="scheduel"):
        varied(base, {"diffusion.scheduel": "cosine"})


def test_training_takes_its_time_and_brings_the_rate_down() -> None:
    torch.set_num_threads(1)
    config = make_config("dataset.channels=3", "train.warmup_images=0")
    pixels = render(np.arange(100) % 3, np.arange(100) % 4)

    class Split:
        def __len__(self) -> int:
            return len(pixels)

        def gather(self, indices: np.ndarray) -> np.ndarray:
            return pixels[indices]

    model, images = train_for(config, Split(), 0.5)
    assert images >= config.train.batch_size
    assert images % config.train.batch_size == 0
    assert weights_hash(model) != weights_hash(start_run(config, "x", torch.device("cpu")).ema)


def test_a_finished_run_is_not_done_again_and_the_report_has_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    colour, shape = generator.integers(0, 3, 220), generator.integers(0, 4, 220)

    def edit(manifest: pd.DataFrame) -> pd.DataFrame:
        return manifest.assign(**{"factor.colour": [f"c{c}" for c in colour], "factor.shape": [f"s{s}" for s in shape]})

    data = PreparedData(make_prepared(tmp_path / "data", pixels=render(colour, shape), edit=edit))
    monkeypatch.setattr(ablation_run, "DRAWN", 4)
    trained = []
    training = ablations.train_for
    monkeypatch.setattr(ablations, "train_for", lambda *args: trained.append(1) or training(*args))
    report = tmp_path / "ablations.md"

    def go(seeds: int) -> None:
        settings = {"seconds": 0.05, "names": ["base", "modulation_off"], "runs": tmp_path / "runs", "command": "make ablations"}
        ablate(make_config("dataset.channels=3"), data, seeds=seeds, report=report, **settings)  # type: ignore[arg-type]

    go(1)
    assert len(trained) == 2
    go(2)
    assert len(trained) == 4
    text = report.read_text()
    for word in (
        "base: modulation",
        "no layer modulation",
        "DCI d",
        "factors' probe",
        "linear probe",
        "2 seeds",
        "masks 0.1 (section)",
    ):
        assert word in text
    assert text.count("Layer modulation") == 4  # of its claims, all of which could be judged
    go(2)
    assert len(trained) == 4


def test_factors_are_read_from_the_manifest(tmp_path: Path) -> None:
    def edit(manifest: pd.DataFrame) -> pd.DataFrame:
        return manifest.assign(**{"factor.hue": ["red", "", "blue"] * 20})

    data = PreparedData(make_prepared(tmp_path / "with", n=60, edit=edit))
    samples = {name: draw_sample(data.split(name), 9, 0) for name in ("train", "val", "test")}
    factors = read_factors(data, samples)
    assert factors is not None
    assert factors.names == {"hue": ["blue", "red"]}
    assert factors.codes["train"]["hue"].tolist() == [[1, -1, 0][i % 3] for i in samples["train"].indices]
    plain = PreparedData(make_prepared(tmp_path / "without", n=60))
    assert read_factors(plain, {"train": draw_sample(plain.split("train"), 9, 0)}) is None
