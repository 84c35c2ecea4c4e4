"""What training is watched on, and the cameras of its batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from soda.common.images import to_float
from soda.common.seeds import seed_of
from soda.config import Config
from soda.data.dataset import PreparedData, Split
from soda.data.pairs import Partners, find_partners
from soda.training.batches import Order, chosen


@dataclass(frozen=True)
class HeldOut:
    """targets: (B, C, S, S) in [-1, 1]; sources: the same, None where a picture is its own; cameras: (B, 2, 16) or None."""

    targets: Tensor
    sources: Tensor | None = None
    cameras: Tensor | None = None


class PairCameras:
    """The cameras of the pairs that `batches` yields, step by step. Cameras are read when the first is asked for."""

    def __init__(self, split: Split, order: Order, batch_size: int, share: slice, partners: Partners | None) -> None:
        self._split, self._order, self._batch_size, self._share, self._partners = split, order, batch_size, share, partners

    def at(self, step: int) -> Tensor:
        """(b, V, 16) float32, of source, target and then further sources. Raises DatasetError for data without cameras."""
        return _cameras_of(self._split.cameras, *chosen(self._order, step, self._batch_size, self._share, self._partners))


def read_held_out(data: PreparedData, config: Config, count: int, device: torch.device) -> HeldOut:
    """At most `count` validation pictures; of a model with cameras pairs of views of as many objects as there are.

    Raises PairsError and DatasetError.
    """
    val = data.split("val")
    if not config.model.cameras.rays:
        return HeldOut(to_float(val.gather(np.arange(min(count, len(val))))).to(device))
    partners = find_partners(data, val, config.views.pairs)
    if partners is None:
        sources = targets = np.arange(min(count, len(val)))
    else:
        which = np.unique(np.linspace(0, len(partners) - 1, min(count, len(partners))).astype(np.int64))
        sources = partners.anchors[which]
        targets = partners.draw(which, np.random.default_rng(seed_of("held out", config.train.seed)))
    views = [to_float(val.gather(each)).to(device) for each in (targets, sources)]
    return HeldOut(views[0], views[1], _cameras_of(val.cameras, sources, targets).to(device))


def _cameras_of(cameras: np.ndarray, *positions: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack([cameras[each] for each in positions], axis=1))
