"""One definition of the times to sample at: torch, the runtime and the browser page go through the same ones."""

from __future__ import annotations

import runpy
from itertools import pairwise
from pathlib import Path

import pytest

from soda.runtime import Decoder
from soda.training.checkpoint import load_model
from tests.support.running import ROOT


@pytest.mark.parametrize("name", sorted(path.parent.name for path in ROOT.glob("zoo/*/denoiser.onnx")))
def test_all_sample_at_the_same_times(name: str, tmp_path: Path) -> None:
    folder = ROOT / "zoo" / name
    network, decoder = load_model(folder)[0], Decoder(folder / "denoiser.onnx", threads=1)
    for steps in (1, 3, 10, 50, 1000):
        times = network.schedule.sampling_times(steps, network.diffusion.spacing)
        assert decoder.timesteps(steps) == times and len(times) == steps + 1
    own = network.schedule.sampling_times(network.diffusion.sampling_steps, network.diffusion.spacing)
    page = runpy.run_path(str(ROOT / "apps/web/bundle_model.py"))["bundle"](folder, tmp_path / "model")["denoiser"]
    assert decoder.timesteps() == page["timesteps"] == own
    snr = [abar / (1 - abar) for abar in (page["alphas_cumprod"][t] for t in own[:-1])]
    assert all(after > 1.1 * before for before, after in pairwise(snr))  # no evaluation is wasted
