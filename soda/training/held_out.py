"""What training is watched on: fixed validation images."""

from __future__ import annotations

import numpy as np

from soda.common.images import to_float
from soda.common.seeds import seed_of
from soda.config import Config
from soda.data.dataset import PreparedData
from soda.data.pairs import Pairs, find_partners
from soda.model.batch import ViewBatch
from soda.training.batches import with_cameras


def read_held_out(data: PreparedData, config: Config, count: int) -> ViewBatch:
    """At most `count` validation images; of a model with cameras pairs of views of as many objects as there are.

    Raises PairsError and DatasetError.
    """
    val = data.split("val")
    sources = targets = np.arange(min(count, len(val)))
    if not config.model.cameras.rays:
        return ViewBatch.of(to_float(val.gather(targets)))
    partners = find_partners(data, val, config.views.pairs)
    if partners is not None:
        which = np.unique(np.linspace(0, len(partners) - 1, min(count, len(partners))).astype(np.int64))
        sources = partners.anchors[which]
        targets = partners.draw(which, np.random.default_rng(seed_of("held out", config.train.seed)))
    batch = ViewBatch(to_float(val.gather(sources))[:, None], to_float(val.gather(targets)))
    return with_cameras(batch, val, Pairs(sources[:, None], targets))
