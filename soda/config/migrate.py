"""Older model folders: their config.yaml lacks the settings that came later."""

from __future__ import annotations

import copy
from typing import Any

_BEFORE: dict[str, Any] = {
    "dataset.splits": "official",
    "dataset.min_std": 0.0,
    "gate.factors": [],
    "gate.held_apart": None,
    "gate.min_views": 0,
    "views.pairs.by": "picture",
    "views.pairs.column": None,
    "views.pairs.differ": None,
    "views.pairs.file": None,
    "views.pairs.reconstruct": 0.0,
    "views.pairs.style_sections": 0,
    "views.pairs.sources": 1,
    "views.recolour": 0.0,
    "model.cameras.rays": False,
    "model.cameras.octaves": 4,
    "model.cameras.rgb_channels": 16,
    "model.cameras.pose": False,
    "model.cameras.source_drop": 0.1,
    "model.cameras.target_drop": 0.1,
    "model.cameras.view_attention": [],
    "diffusion.time_power": 1.0,
    "evaluate.view_targets": 4,
    "evaluate.view_samples": 8,
    "export.decoder_images": 64,
    "export.decoder_max_abs_diff": 0.001,
    "export.int8": True,
    "export.int8_max_drop": 0.005,
    "export.calibration_images": 512,
    "export.probe_images": 20000,
    "export.fp16": False,
}
"""What each later setting was before there was a choice. It changes only by a line for a new setting: models were trained so."""


def migrate(values: Any) -> Any:
    """What an older config.yaml holds, with every setting that came later as it was then.

    Whatever else is wrong with `values` is left for `from_dict` to say: a whole group that is missing, say.
    """
    full = copy.deepcopy(values)
    for key, before in _BEFORE.items():
        group, *inner, name = key.split(".")
        place = full.get(group) if isinstance(full, dict) else None
        for each in inner:
            place = place.setdefault(each, {}) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place.setdefault(name, copy.copy(before))
    return full
