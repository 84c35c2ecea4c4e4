"""All measures of what a model can draw: reconstruction against cost, walks, and, where the data has known factors, what its
sections, mixes and directions do with them and how disentangled z is. `measure_gallery` is what the evaluation calls.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from soda.common.errors import InputError
from soda.config import EvaluateConfig
from soda.evaluation.factor_reader import train_reader
from soda.evaluation.factors import Factors
from soda.evaluation.gallery_drawing import interpolation_group, reconstruction_group
from soda.evaluation.gallery_editing import attribute_group, mix_group
from soda.evaluation.gallery_knowing import disentanglement_group, section_group
from soda.evaluation.gallery_scene import FactorScene, Subject, draw_positions
from soda.evaluation.mixing import Roles, style_of
from soda.evaluation.novel_group import novel_view_group

log = logging.getLogger(__name__)

MAX_PICTURES = {"train": 4000, "val": 1000, "test": 2000}  # that probes, forests and mixes look at

Metrics = dict[str, Any]


def measure_gallery(
    subject: Subject, directions: Tensor, factors: Factors | None, config: EvaluateConfig, folder: Path
) -> Metrics:
    """Measure all that the data allow and draw the figures into `folder`. directions: (K, D), one sigma of z along each.

    Returns groups of metrics, each with `notes`: `reconstruction` and `interpolation`; of a model with cameras `novel_view`; with
    factors also `sections`, `mix`, `attributes` and `disentanglement`. A group that cannot be measured holds a note that says
    why. Raises ValueError when the settings name a factor that the data do not have.
    """
    _require_known(factors, config)
    groups: Metrics = {}

    def measure(name: str, work: Callable[[], Metrics]) -> None:
        started = time.perf_counter()
        groups[name] = work()
        log.info("gallery: %s took %.0f s", name, time.perf_counter() - started)

    measure("reconstruction", lambda: reconstruction_group(subject, config, folder))
    measure("interpolation", lambda: interpolation_group(subject, config))
    if subject.model.takes_cameras:
        measure("novel_view", lambda: novel_view_group(subject, config, folder))
    if factors is None or not factors.learnable:
        return groups
    started = time.perf_counter()
    scene = _scene(subject, directions, factors, config, folder)
    log.info("gallery: the reader of factors took %.0f s", time.perf_counter() - started)
    measure("sections", lambda: section_group(scene))
    measure("mix", lambda: mix_group(scene))
    measure("attributes", lambda: attribute_group(scene))
    measure("disentanglement", lambda: disentanglement_group(scene))
    return groups


def _require_known(factors: Factors | None, config: EvaluateConfig) -> None:
    names = list(factors.names) if factors else []
    for key in ("content_factor", "style_factor"):
        wanted = getattr(config, key)
        if wanted is not None and wanted not in names:
            raise InputError(f"evaluate.{key}: {wanted!r} is no factor of these data; there are {', '.join(names) or 'none'}")
    if factors and config.style_factor and not config.content_factor and not factors.held_out:
        raise InputError(
            f"evaluate.style_factor: {config.style_factor!r} alone says nothing of content, and no factor of these data is held "
            "out; set evaluate.content_factor, too"
        )


def _roles(factors: Factors, names: list[str], config: EvaluateConfig) -> Roles | None:
    """Style and content as the settings or the data have them; None where every factor can be learnt and no setting says."""
    content = config.content_factor or next(iter(factors.held_out), None)
    if content is None:
        return None
    style = (config.style_factor,) if config.style_factor else style_of(factors.codes["train"], content, names)
    return Roles(style, (content,), held_out=content not in factors.learnable) if style else None


def measured_factors(factors: Factors, config: EvaluateConfig) -> list[str]:
    """The commonest of those that can be learnt, at most `max_factors`, those that the settings name among them."""
    order = factors.commonest(factors.learnable, len(factors.learnable))
    named = [name for name in order if name in (config.style_factor, config.content_factor)]
    others = [name for name in order if name not in named][: max(0, config.max_factors - len(named))]
    return [name for name in order if name in (*named, *others)]


def _scene(subject: Subject, directions: Tensor, factors: Factors, config: EvaluateConfig, folder: Path) -> FactorScene:
    """Choose pictures and factors, and train the classifier that reads them."""
    names = measured_factors(factors, config)
    roles = _roles(factors, names, config)
    train, held = subject.samples["train"], roles.content[0] if roles and roles.held_out else None
    positions = {split: draw_positions(subject.samples[split], limit, config.seed) for split, limit in MAX_PICTURES.items()}
    wanted = [*names, held] if held else names
    reader = train_reader(
        train,
        {name: factors.codes["train"][name] for name in wanted},
        {name: len(factors.names[name]) for name in names},
        content=held,
        images=config.reader_images,
        seed=config.seed,
        device=subject.device,
    )
    return FactorScene(
        subject=subject,
        factors=factors.only(wanted, positions),
        names=names,
        roles=roles,
        positions=positions,
        z={split: subject.latents[split].x[here] for split, here in positions.items()},
        directions=directions,
        reader=reader,
        config=config,
        folder=folder,
    )
