"""What a loss is about: the views of a batch of pairs, and what chance decides of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class ViewBatch:
    """B pairs of views in [-1, 1]: the encoder sees the sources, the denoiser draws the target.

    sources: (B, V, C, S, S), one view or several of a thing; target: (B, C, S, S); style: (B, C, S, S), a view whose latent gives
    the `style_sections` finest sections in place of the source's; source_cameras: (B, V, 16) and target_cameras: (B, 16) in the
    order of cameras.COLUMNS, rows of zeros where one is not known, None where a model is not told of them; lesson: (B, T), what a
    teacher says of the first source's picture, None without one.
    """

    sources: Tensor
    target: Tensor
    style: Tensor | None = None
    style_sections: int = 0
    source_cameras: Tensor | None = None
    target_cameras: Tensor | None = None
    lesson: Tensor | None = None

    @staticmethod
    def of(images: Tensor) -> ViewBatch:
        """Images (B, C, S, S), each its own source and target."""
        return ViewBatch(images[:, None], images)

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, rows: slice) -> ViewBatch:
        """Some of the pairs."""
        return self._each(lambda tensor: tensor[rows])

    def to(self, device: torch.device) -> ViewBatch:
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> ViewBatch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: change(value) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **changed)


@dataclass(frozen=True)
class LossDraws:
    """What chance decides of a batch. t: (B,) in 1 .. T; noise: (B, C, S, S); keep: (B, sections), the layer mask, None: all;
    shown: (B, V) of booleans, the sources that count, None: all.
    """

    t: Tensor
    noise: Tensor
    keep: Tensor | None = None
    shown: Tensor | None = None

    def __getitem__(self, rows: slice) -> LossDraws:
        """Those of some of the pairs."""
        keep, shown = (None if each is None else each[rows] for each in (self.keep, self.shown))
        return LossDraws(self.t[rows], self.noise[rows], keep, shown)
