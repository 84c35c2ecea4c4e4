"""Images whose factors are known, their z, and the classifier that reads factors off drawn images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from soda.common.errors import InputError
from soda.config import EvaluateConfig
from soda.evaluation.baselines.factor_reader import FactorReader, train_reader
from soda.evaluation.factors import Factors
from soda.evaluation.mix_scores import Roles, style_of
from soda.evaluation.samples import Sample, draw_positions, embed, pixels

if TYPE_CHECKING:
    from soda.evaluation.context import EvaluationContext

MAX_IMAGES = {"train": 4000, "val": 1000, "test": 2000}  # that probes, forests and mixes look at

Latents = dict[str, Tensor]


@dataclass(frozen=True)
class FactorScene:
    """Images, their z and factors, beside one another, and the classifier that reads factors.

    samples: by split, in an order of their own; names: the factors that are measured, `factors` has the held-out content besides.
    """

    factors: Factors
    names: list[str]
    roles: Roles | None
    samples: dict[str, Sample]
    z: Latents
    reader: FactorReader
    config: EvaluateConfig
    device: torch.device

    def images(self, split: str) -> np.ndarray:
        """The images of a split: (n, S, S, C) uint8."""
        return self.samples[split].gather(np.arange(len(self.samples[split])))

    def encoded(self, encoder: nn.Module) -> Latents:
        """What another encoder, in eval mode, makes of the same images: split -> (n, D)."""
        size = self.config.batch_size
        return {split: embed(encoder, each, batch_size=size, device=self.device).x for split, each in self.samples.items()}

    def pixel_components(self, count: int) -> Latents:
        """Principal components of the pixels, fitted on train: split -> (n, at most `count`)."""
        raw = {split: pixels(sample, self.config.batch_size).x for split, sample in self.samples.items()}
        centre = raw["train"].mean(0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)  # the range finder draws a random start
            count = min(count, *raw["train"].shape)
            _, _, basis = torch.svd_lowrank(raw["train"] - centre, q=min(count + 16, *raw["train"].shape), niter=3)
        return {split: (x - centre) @ basis[:, :count] for split, x in raw.items()}


def require_known(factors: Factors | None, config: EvaluateConfig) -> None:
    """Raise ValueError when the settings name a factor that the data do not have, or say too little."""
    names = list(factors.names) if factors else []
    for key in ("content_factor", "style_factor"):
        named = getattr(config, key)
        if named is not None and named not in names:
            raise InputError(f"evaluate.{key}: {named!r} is no factor of these data; there are {', '.join(names) or 'none'}")
    if factors and config.style_factor and not config.content_factor and not factors.held_out:
        raise InputError(
            f"evaluate.style_factor: {config.style_factor!r} alone says nothing of content, and no factor of these data is held "
            "out; set evaluate.content_factor, too"
        )


def measured_factors(factors: Factors, config: EvaluateConfig) -> list[str]:
    """The commonest of those that can be learnt, at most `max_factors`, those that the settings name among them."""
    order = factors.commonest(factors.learnable, len(factors.learnable))
    named = [name for name in order if name in (config.style_factor, config.content_factor)]
    others = [name for name in order if name not in named][: max(0, config.max_factors - len(named))]
    return [name for name in order if name in (*named, *others)]


def _roles(factors: Factors, names: list[str], config: EvaluateConfig) -> Roles | None:
    """Style and content as the settings or the data have them; None where every factor can be learnt and no setting says."""
    content = config.content_factor or next(iter(factors.held_out), None)
    if content is None:
        return None
    style = (config.style_factor,) if config.style_factor else style_of(factors.codes["train"], content, names)
    return Roles(style, (content,), held_out=content not in factors.learnable) if style else None


def make_scene(context: EvaluationContext, factors: Factors) -> FactorScene:
    """Choose images and factors, and train the classifier that reads them."""
    config, train = context.config, context.samples["train"]
    names = measured_factors(factors, config)
    roles = _roles(factors, names, config)
    held = roles.content[0] if roles and roles.held_out else None
    at = {split: draw_positions(context.samples[split], limit, config.seed) for split, limit in MAX_IMAGES.items()}
    kept = [*names, held] if held else names
    reader = train_reader(
        train,
        {name: factors.codes["train"][name] for name in kept},
        {name: len(factors.names[name]) for name in names},
        content=held,
        config=config,
        device=context.device,
    )
    return FactorScene(
        factors=factors.only(kept, at),
        names=names,
        roles=roles,
        samples={name: Sample(each.split, each.indices[at[name]]) for name, each in context.samples.items()},
        z={split: context.latents[split].x[here] for split, here in at.items()},
        reader=reader,
        config=config,
        device=context.device,
    )
