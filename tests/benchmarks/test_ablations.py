"""The claims: what is decided follows from the numbers, every arm is possible, no run is done twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from benchmarks.claims import __main__ as command
from benchmarks.claims.arms import CLAIMS, STUDIES, Arm, Study
from benchmarks.claims.jobs import config_of, run_job
from benchmarks.claims.on_gpu import run_jobs, streams_of
from benchmarks.claims.results import TEST, UNTRAINED, Results, claims_json, decide
from benchmarks.claims.statistics import holm, paired
from soda.data.dataset import PreparedData
from soda.evaluation.factors import read_factors
from soda.evaluation.samples import draw_sample
from tests.support.prepared_factory import make_prepared
from tests.support.settings import ROOT
from tests.support.shapes import render


def test_a_paired_difference_is_students() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(0.6, 0.1, 6), generator.normal(0.5, 0.1, 6)
    found = paired(dict(enumerate(a)), {**dict(enumerate(b)), 9: 5.0})  # a seed that one side lacks is left out
    reference = stats.ttest_rel(a, b)
    assert found is not None and found.pairs == 6
    assert found.p == pytest.approx(reference.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval(0.95)))
    assert paired({0: 1.0}, {0: 2.0}) is None


def test_holm_is_false_discovery_free_and_monotone() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}


def rows(study: str, arm: str, values: list[float], metric: str = "probe", images: int = 100) -> list[dict]:
    each = enumerate(values)
    return [
        {"study": study, "arm": arm, "seed": seed, "images": images, "key": "k", "device": "cpu", "metrics": {metric: value}}
        for seed, value in each
    ]


def test_verdicts_follow_from_paired_differences(tmp_path: Path) -> None:
    results = Results(tmp_path / "rows.json", {})
    noise = [0.00, 0.05, -0.05, 0.1]  # far greater than the effect, and shared by both arms of a seed
    results.add(rows("main", "base", [0.70 + n for n in noise]))
    results.add(rows("main", "modulation_off", [0.69 + n + e for n, e in zip(noise, (0.001, 0, -0.001, 0), strict=True)]))
    results.add(rows("main", "latent_512", [0.72 + n + e for n, e in zip(noise, (0.001, 0, -0.001, 0), strict=True)]))
    results.add(rows("main", "masking_off", [0.70 - n for n in noise]))
    verdicts = {each.claim.name: each.verdict for each in decide(results)}
    assert verdicts == {"modulation_probe": "holds", "compact_512": "opposite", "masking_probe": "undecided"}
    written = claims_json(decide(results), results)
    assert (written["images"], written["seeds"]) == (100, 4)
    assert {row["name"]: row["effect"] for row in written["claims"]}["modulation_probe"] == pytest.approx(0.01)


@pytest.mark.parametrize("study", list(STUDIES))
def test_every_arm_is_possible_and_differs_from_the_base_and_claims_name_arms(study: str) -> None:
    arms = STUDIES[study].arms
    base = config_of(study, "base", 0, 1000)
    for name, arm in arms.items():
        config = config_of(study, name, 0, 1000)
        assert (config != base) == (name != "base")
        assert config.train.images == 1000 * arm.longer
    named = {arm for claim in CLAIMS if claim.study == study for arm in (claim.better, claim.worse)}
    assert named == set(arms)


def test_a_campaign_goes_on_where_it_was_and_its_page_has_curves_and_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    colour, shape = generator.integers(0, 3, 260), generator.integers(0, 4, 260)

    def edit(manifest: pd.DataFrame) -> pd.DataFrame:
        return manifest.assign(**{"factor.colour": [f"c{c}" for c in colour], "factor.shape": [f"s{s}" for s in shape]})

    make_prepared(tmp_path / "runs/main/prepared", pixels=render(colour, shape), edit=edit)
    small = (
        "dataset.image_size=16",
        "model.channels=16",
        "model.latent_dim=16",
        "train.batch_size=16",
        "train.images=64",
        "dataset.channels=3",
    )
    arms = {"base": Arm("base: as it is"), "modulation_off": Arm("no layer modulation", ("model.layer_modulation=false",))}
    monkeypatch.setitem(STUDIES, "main", Study("little shapes", (*small, "train.usage_check_images=0"), arms))
    arguments = ["--images", "64", "--studies", "main", "--processes", "0"]
    arguments += ["--runs", str(tmp_path / "runs"), "--docs", str(tmp_path / "docs")]
    (tmp_path / "docs/images").mkdir(parents=True)
    (tmp_path / "docs/results").mkdir()
    command.main([*arguments, "--seeds", "1"])
    kept = tmp_path / "docs/results/claims_runs.json"
    first = json.loads(kept.read_text())
    assert {row["arm"] for row in first} == {"base", "modulation_off", UNTRAINED, "pixels", TEST}
    assert {row["images"] for row in first if row["arm"] == "base"} == {16, 32, 64}
    command.main([*arguments, "--seeds", "2"])
    second = json.loads(kept.read_text())
    assert all(row in second for row in first) and len(second) > len(first)
    page = (tmp_path / "docs/ablations.md").read_text()
    assert "## Layer modulation disentangles (paper)" in page and "untrained encoder" in page and "2 seeds" in page
    assert (tmp_path / "docs/images/claim_modulation_dci.png").stat().st_size > 5000
    claims = json.loads((tmp_path / "docs/results/claims.json").read_text())
    assert {row["verdict"] for row in claims["claims"]} <= {"holds", "opposite", "undecided"}
    before = kept.stat().st_mtime_ns
    command.main([*arguments, "--seeds", "2"])
    assert kept.stat().st_mtime_ns == before  # nothing was left to run


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


def test_runs_go_side_by_side_in_processes_of_their_own(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    colour, shape = generator.integers(0, 3, 200), generator.integers(0, 4, 200)
    shapes = render(colour, shape).repeat(2, axis=1).repeat(2, axis=2)  # 32 px, as the study's

    def edit(manifest: pd.DataFrame) -> pd.DataFrame:
        return manifest.assign(**{"factor.colour": [f"c{c}" for c in colour], "factor.shape": [f"s{s}" for s in shape]})

    make_prepared(tmp_path / "runs/main/prepared", pixels=shapes, edit=edit)
    for folder in ("images", "results"):
        (tmp_path / "docs" / folder).mkdir(parents=True)
    words = ["--images", "128", "--seeds", "1", "--studies", "main", "--arms", "masking_off", UNTRAINED, "--processes", "1"]
    places = ["--runs", tmp_path / "runs", "--docs", tmp_path / "docs"]
    line = [sys.executable, "-m", "benchmarks.claims", *words, *map(str, places)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "docs/results/claims_runs.json").read_text())
    assert {row["arm"] for row in rows} == {"masking_off", UNTRAINED}


def test_runs_that_share_a_device_leave_the_rows_that_runs_alone_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    colour, shape = generator.integers(0, 3, 260), generator.integers(0, 4, 260)

    def edit(manifest: pd.DataFrame) -> pd.DataFrame:
        return manifest.assign(**{"factor.colour": [f"c{c}" for c in colour], "factor.shape": [f"s{s}" for s in shape]})

    make_prepared(tmp_path / "main/prepared", pixels=render(colour, shape), edit=edit)
    small = ("dataset.image_size=16", "model.channels=16", "model.latent_dim=16", "train.batch_size=16", "dataset.channels=3")
    arms = {"base": Arm("base"), "paper": Arm("longer", ("diffusion.schedule=inverted",), longer=3)}
    monkeypatch.setitem(STUDIES, "main", Study("little shapes", (*small, "train.usage_check_images=0"), arms))
    jobs = [("main", "pixels", 0), ("main", "base", 0), ("main", "base", 1), ("main", "paper", 0)]
    assert [len(each) for each in streams_of([*jobs, ("main", "paper", 1)])] == [1, 1, 2]
    found = dict(run_jobs(jobs, tmp_path, 64, {"main": "k"}, device=torch.device("cpu"), streams=2, judges=1))
    assert set(found) == set(jobs)
    for job in jobs[1:]:
        alone = run_job(job, folder=tmp_path, images=64, device="cpu", key="k")
        assert [(row["arm"], row["images"]) for row in found[job]] == [(row["arm"], row["images"]) for row in alone]
        for mine, theirs in zip(found[job], alone, strict=True):
            assert mine["metrics"].keys() == theirs["metrics"].keys()
            assert mine["metrics"]["val_loss"] == pytest.approx(theirs["metrics"]["val_loss"], rel=0.2)
