"""Which vectors find what is alike better, z or the features? Asked of validation pictures, so that search has its default."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from soda.common.images import to_float
from soda.config.schema_views import AugmentConfig
from soda.data.augment import augment
from soda.data.dataset import PreparedData, Split
from soda.evaluation.knn import neighbours, vote
from soda.export.statistics import evenly_spaced, gather_rgb
from soda.runtime import Encoder
from soda.runtime.metadata import OUTPUT

BANK, QUERIES = 5000, 1000
"""Pictures that are searched, and that are looked for, at most."""
NEIGHBOURS = 10
COPIES = AugmentConfig(
    crop_prob=1.0,
    crop_scale_min=0.5,
    flip_prob=0.0,
    randaugment_prob=1.0,
    randaugment_ops=2,
    randaugment_magnitude=0.5,
    noise_sigma=0.02,
)
"""How a picture's own copy is made where there are no labels: what it shows stays, and no mirror makes a b of a d."""
_BATCH = 64


def choose_vectors(encoder: Encoder, data: PreparedData) -> tuple[str, dict[str, Any]]:
    """The output for `search_vectors`, and figures: search_by_labels, and search_z and search_features, shares in [0, 1].

    With labels, of two or more kinds in train and some in validation: how often the NEIGHBOURS nearest training pictures, voting,
    have a picture's label. Without: how often the picture nearest to an altered copy is its original. Compared as `soda search`
    does, standardised and of length 1. z, which is shorter, where both find as many, and where validation is empty.
    """
    train, val = data.split("train"), data.split("val")
    labelled = [np.flatnonzero(split.labels >= 0) for split in (train, val)]
    by_labels = len(np.unique(train.labels[labelled[0]])) >= 2 and len(labelled[1]) > 0
    if not len(val):
        return OUTPUT, {}
    scores = _by_labels(encoder, train, val, len(data.label_names)) if by_labels else _by_copies(encoder, val)
    best = max(scores, key=lambda name: (scores[name], name == OUTPUT))
    return best, {"search_by_labels": by_labels, **{f"search_{name}": score for name, score in scores.items()}}


def _by_labels(encoder: Encoder, train: Split, val: Split, classes: int) -> dict[str, float]:
    (bank, of_bank), (queries, of_queries) = (_labelled(*each) for each in ((train, BANK), (val, QUERIES)))
    searched, asked = (_vectors(encoder, images) for images in (bank, queries))
    scores = {}
    for name in encoder.widths:
        rows, cosines = neighbours(asked[name], searched[name], NEIGHBOURS)
        scores[name] = float((vote(of_bank[rows], cosines, classes) == of_queries).float().mean())
    return scores


def _labelled(split: Split, most: int) -> tuple[np.ndarray, torch.Tensor]:
    rows = np.flatnonzero(split.labels >= 0)
    rows = rows[evenly_spaced(len(rows), most)]
    return gather_rgb(split, rows), torch.from_numpy(split.labels[rows])


def _by_copies(encoder: Encoder, val: Split) -> dict[str, float]:
    rows = evenly_spaced(len(val), QUERIES)
    copies = augment(to_float(val.gather(rows)), COPIES, torch.Generator().manual_seed(0))
    pixels = ((copies.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()  # (n, S, S, C)
    searched, asked = (
        _vectors(encoder, images)
        for images in (gather_rgb(val, rows), pixels.repeat(3, axis=3) if pixels.shape[3] == 1 else pixels)
    )
    own = torch.arange(len(rows))[:, None]
    return {name: float((neighbours(asked[name], searched[name], 1)[0] == own).float().mean()) for name in encoder.widths}


def _vectors(encoder: Encoder, images: np.ndarray) -> dict[str, torch.Tensor]:
    """Each output of (n, S, S, 3) uint8 as pictures are compared: (n, D)."""
    names = list(encoder.widths)
    blocks = [encoder.run_outputs(images[i : i + _BATCH], names) for i in range(0, len(images), _BATCH)]
    return {
        name: torch.from_numpy(encoder.normalized(np.concatenate([block[k] for block in blocks]), "stats+l2", name))
        for k, name in enumerate(names)
    }
