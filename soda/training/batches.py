"""Which images a step sees, and with what random numbers: functions of (seed, step), so that a resumed run draws the same."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch

from soda.common.errors import InputError
from soda.common.images import to_float
from soda.common.seeds import seed_of
from soda.config import TrainConfig, ViewsConfig
from soda.data.augment import augment, recolour, view_pair
from soda.data.dataset import Split
from soda.data.pairs import Pairs, Partners
from soda.model.batch import ViewBatch
from soda.training.shard_order import ShardOrder


class Order:
    """The endless order of images: one permutation an epoch, each from (seed, epoch)."""

    def __init__(self, count: int, seed: int) -> None:
        if count < 1:
            raise InputError("the train split is empty: nothing to train on")
        self.count, self.seed = count, seed
        self._epoch, self._permutation = -1, np.empty(0, dtype=np.int64)

    def indices(self, start: int, length: int) -> np.ndarray:
        """Positions start .. start + length of the order, as indices into the split. (length,) int64."""
        positions = np.arange(start, start + length)
        out = np.empty(length, dtype=np.int64)
        for epoch in np.unique(positions // self.count):
            if epoch != self._epoch:
                generator = np.random.default_rng(seed_of("order", self.seed, int(epoch)))
                self._epoch, self._permutation = int(epoch), generator.permutation(self.count)
            here = positions // self.count == epoch
            out[here] = self._permutation[positions[here] % self.count]
        return out


class Reader:
    """The batches of a run, step by step: of single images, or with `partners` of pairs that their anchors are the sources of.

    posed: with cameras, which are read when the first batch is. lessons: (n, T), a teacher's vector of each picture. Several
    processes read the same batches: a step draws its views for all of a batch and takes this process's share of them.
    """

    def __init__(
        self,
        split: Split,
        partners: Partners | None,
        settings: TrainConfig,
        *,
        posed: bool = False,
        lessons: np.ndarray | None = None,
    ) -> None:
        self.split, self.partners, self.batch_size, self.posed = split, partners, settings.batch_size, posed
        self.lessons = lessons
        if settings.shuffle_buffer and partners is not None:
            raise InputError(
                f"train.shuffle_buffer: {settings.shuffle_buffer} is not possible with pairs of different pictures, which lie "
                "in any shard; it must be 0, or views.pairs.by=picture"
            )
        self.order: Order | ShardOrder
        if settings.shuffle_buffer:
            self.order = ShardOrder(split.stretches.lengths, settings.shuffle_buffer, settings.seed)
        else:
            self.order = Order(len(split) if partners is None else len(partners), settings.seed)
        self._window = -1
        at_once = self.order.most_at_once if isinstance(self.order, ShardOrder) else len(split.stretches)
        split.plan_shards(at_once)

    def at(self, step: int) -> ViewBatch:
        """The batch of a step, as the images are. Raises DatasetError where cameras are asked for and there are none."""
        pairs = self.pairs(step)
        return self._views(pairs, self._gather(pairs))

    def stream(self, first_step: int, last_step: int) -> Iterator[ViewBatch]:
        """The batches of first_step .. last_step; the next one is read while this one is used, and the shards after it come."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            self._ask_for_shards(first_step)
            pairs = self.pairs(first_step)
            pending = pool.submit(self._gather, pairs)
            for step in range(first_step, last_step):
                here, pixels = pairs, pending.result()
                if step + 1 < last_step:
                    pairs = self.pairs(step + 1)
                    pending = pool.submit(self._gather, pairs)
                    self._ask_for_shards(step + 1)
                yield self._views(here, pixels)

    def pairs(self, step: int) -> Pairs:
        """Positions in the split of what a step sees."""
        which = self.order.indices(step * self.batch_size, self.batch_size)
        if self.partners is None:
            return Pairs(which[:, None], which)
        generator = np.random.default_rng(seed_of("pairs", self.order.seed, step))
        return self.partners.draw_pairs(which, generator)

    def _ask_for_shards(self, step: int) -> None:
        """Where shards come from elsewhere: have those of the window that the step is in brought, and then those of the next."""
        shards, window = np.arange(len(self.split.stretches)), 0
        if isinstance(self.order, ShardOrder):
            window = self.order.window_at(step * self.batch_size)
            shards = np.concatenate([self.order.shards_of(each) for each in (window, window + 1)])
        if window != self._window:
            self._window = window
            self.split.fetch_ahead(shards)

    def _gather(self, pairs: Pairs) -> list[np.ndarray]:
        if self.partners is None:
            return [self.split.gather(pairs.targets)]
        return [self.split.gather(each.ravel()) for each in (pairs.targets, pairs.sources, pairs.styles) if each is not None]

    def _views(self, pairs: Pairs, pixels: list[np.ndarray]) -> ViewBatch:
        target, *beside = (to_float(each) for each in pixels)
        if self.partners is None:
            batch = ViewBatch.of(target)
        else:
            style = beside[1] if len(beside) > 1 else None
            batch = ViewBatch(beside[0].unflatten(0, pairs.sources.shape), target, style, self.partners.config.style_sections)
        if self.lessons is not None:
            batch = replace(batch, lesson=torch.from_numpy(self.lessons[pairs.sources[:, 0]].astype(np.float32)))
        return with_cameras(batch, self.split, pairs) if self.posed else batch


def with_cameras(batch: ViewBatch, split: Split, pairs: Pairs) -> ViewBatch:
    """The batch with the cameras of its views beside them. Raises DatasetError for data without cameras."""
    sources, target = (torch.from_numpy(split.cameras[each]) for each in (pairs.sources, pairs.targets))
    return replace(batch, source_cameras=sources, target_cameras=target)


def augmented(batch: ViewBatch, views: ViewsConfig, generator: torch.Generator) -> ViewBatch:
    """The batch with its views drawn as the settings say; the generator decides all of it."""
    single = views.pairs.by == "picture"
    images = [batch.target] if single else [batch.sources[:, 0], batch.target, *batch.sources[:, 1:].unbind(1)]
    if batch.style is not None:
        images.append(batch.style)
    if views.recolour:
        images = recolour(images, views.recolour, generator)
    beside = [augment(each, views.source, generator) for each in images[2:]]
    source, target = view_pair(images[0], images[0 if single else 1], views, generator)
    if batch.style is not None:
        return replace(batch, sources=source[:, None], target=target, style=beside[0])
    return replace(batch, sources=torch.stack((source, *beside), dim=1) if beside else source[:, None], target=target)
