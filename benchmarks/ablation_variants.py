"""What the ablations vary, and what the paper or its reproductions claim of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Changes = dict[str, Any]

_AUGMENTED = yaml.safe_load((Path(__file__).parents[1] / "conf/views/paper.yaml").read_text(encoding="utf-8"))
_PLAIN = yaml.safe_load((Path(__file__).parents[1] / "conf/views/plain.yaml").read_text(encoding="utf-8"))

BASE: Changes = {
    "model.layer_modulation": True,
    "model.section_drop": 0.1,
    "model.latent_drop": 0.1,
    "model.latent_dim": 128,
    "diffusion.schedule": "cosine",
    "views": _PLAIN,
}
"""What every variant starts from. Every other setting is that of params.yaml."""


@dataclass(frozen=True)
class Variant:
    title: str
    changes: Changes = field(default_factory=dict)


VARIANTS: dict[str, Variant] = {
    "base": Variant("base: modulation and masking on, cosine, latent of 128, nothing augmented"),
    "modulation_off": Variant("no layer modulation: every layer sees all of z", {"model.layer_modulation": False}),
    "masking_off": Variant("no layer masking: sections are never dropped alone", {"model.section_drop": 0.0}),
    "inverted": Variant("inverted schedule", {"diffusion.schedule": "inverted"}),
    "linear": Variant("linear schedule", {"diffusion.schedule": "linear"}),
    "latent_16": Variant("latent of 16", {"model.latent_dim": 16}),
    "latent_64": Variant("latent of 64", {"model.latent_dim": 64}),
    "latent_512": Variant("latent of 512", {"model.latent_dim": 512}),
    "source_augmented": Variant("source augmented, target plain", {"views.source": _AUGMENTED["source"]}),
    "target_augmented": Variant("source plain, target augmented", {"views.target": _AUGMENTED["target"]}),
    "novel_view": Variant(
        "novel view: source and target augmented apart from one another",
        {"views.source": _AUGMENTED["source"], "views.target": _AUGMENTED["target"]},
    ),
}


@dataclass(frozen=True)
class Claim:
    """`better` should have more of `metric` than `worse` (less, where less is better)."""

    text: str
    better: str
    worse: str
    metric: str
    less: bool = False


CLAIMS = (
    Claim("Layer modulation makes better representations (paper)", "base", "modulation_off", "probe"),
    Claim("Layer modulation makes better representations (paper)", "base", "modulation_off", "factor_probe"),
    Claim("Layer modulation disentangles (paper)", "base", "modulation_off", "dci_d"),
    Claim("Layer modulation draws nearer pictures", "base", "modulation_off", "psnr"),
    Claim("Layer masking makes better representations (paper)", "base", "masking_off", "probe"),
    Claim("Layer masking disentangles (paper)", "base", "masking_off", "dci_d"),
    Claim("Layer masking makes sections differ in what they know (paper)", "base", "masking_off", "section_spread"),
    Claim("The inverted schedule teaches the encoder more than cosine (paper)", "inverted", "base", "probe"),
    Claim("The inverted schedule teaches the encoder more than linear (paper)", "inverted", "linear", "probe"),
    Claim("A latent of 128 holds more than one of 16", "base", "latent_16", "probe"),
    Claim("A latent of 128 holds more than one of 64", "base", "latent_64", "probe"),
    Claim("A compact latent is better than a large one: 128 against 512 (paper)", "base", "latent_512", "probe"),
    Claim("Augmenting the source makes better representations (paper)", "source_augmented", "base", "probe"),
    Claim("Augmenting the target helps the probe (reproduction)", "target_augmented", "base", "probe"),
    Claim("Augmenting the target hurts reconstruction (reproduction)", "base", "target_augmented", "psnr"),
    Claim("Novel views teach more than plain reconstruction (paper)", "novel_view", "base", "probe"),
    Claim("Novel views teach more than plain reconstruction (paper)", "novel_view", "base", "factor_probe"),
)
