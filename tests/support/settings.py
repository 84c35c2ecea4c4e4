"""The small, real settings that most tests run on."""

from __future__ import annotations

from pathlib import Path

from soda.config import Config, compose, from_dict

ROOT = Path(__file__).parents[2]
SMALL = [
    "dataset.image_size=16",
    "model.encoder_width=8",
    "model.channels=8",
    "model.channel_mult=[1,2,2]",
    "model.latent_dim=16",
    "model.time_dim=16",
    "diffusion.num_timesteps=50",
    "diffusion.sampling_steps=5",
    "train=smoke",
    "train.threads=1",
    "train.device=cpu",
]
"""Overrides that make everything small: 16 px, a latent of 16 in 4 sections."""


DEFAULT = from_dict(compose([], ROOT / "conf"))
"""What conf/ composes when nobody says otherwise."""


def experiment_overrides(name: str) -> list[str]:
    """`experiment=NAME`, and a folder of data where the experiment's file says that it is named beside it."""
    theirs = "dataset.path" in (ROOT / f"conf/experiment/{name}.yaml").read_text()
    return [f"experiment={name}", *(["dataset.path='/a b/ü'"] if theirs else [])]


def make_config(*overrides: str) -> Config:
    """The small configuration with further Hydra overrides."""
    return from_dict(compose([*SMALL, *overrides], ROOT / "conf"))
