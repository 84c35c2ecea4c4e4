"""A small world of shapes in colours: its renderer obeys z, so that every right answer is known."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soda.common.images import to_float
from soda.config import Config
from soda.data.dataset import PreparedData
from soda.evaluation.baselines.factor_reader import FactorReader
from soda.evaluation.context import EvaluationContext
from soda.model.network import SodaNetwork, build_model
from soda.training.checkpoint import save_model

COLOURS = np.array([[230, 40, 40], [40, 220, 60], [60, 80, 240]])
SHAPES = 4  # bars across, bars down, a square, a cross
SIZE = 16


def render(colour: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Pictures (N, 16, 16, 3) uint8 of a shape in a colour on grey."""
    masks = np.zeros((SHAPES, SIZE, SIZE), bool)
    masks[0, 6:10] = masks[1, :, 6:10] = masks[2, 3:13, 3:13] = True
    masks[3] = masks[0] | masks[1]
    out = np.full((len(colour), SIZE, SIZE, 3), 90, np.uint8)
    for i, (c, s) in enumerate(zip(colour, shape, strict=True)):
        out[i][masks[s]] = COLOURS[c]
    return out


def z_of(colour: np.ndarray, shape: np.ndarray, seed: int = 0) -> Tensor:
    """Latents (N, 16) in 4 sections: the colour in the finest, the shape in the coarsest, nothing between."""
    generator = np.random.default_rng(seed)
    z = 0.05 * generator.standard_normal((len(colour), 16))
    z[:, 0] += colour - 1.0
    z[:, 12] += shape - 1.5
    return torch.from_numpy(z).float()


def drawn(z: Tensor) -> np.ndarray:
    """The renderer that a perfect decoder would be."""
    colour = (z[:, 0].numpy() + 1).round().clip(0, 2).astype(int)
    shape = (z[:, 12].numpy() + 1.5).round().clip(0, 3).astype(int)
    return render(colour, shape)


class Eyes(FactorReader):
    """Reads this world's pictures without error: by the mean colour of the shape and by the number of its pixels."""

    def __init__(self) -> None:
        super().__init__(channels=3, image_size=SIZE, values={"colour": 3, "shape": SHAPES}, embeds=True)
        self.eval()

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor | None]:
        known = to_float(render(np.zeros(SHAPES, int), np.arange(SHAPES)))[:, 0] > 0  # (4, S, S) masks
        lit = (images - (90 / 127.5 - 1)).abs().amax(1) > 0.05
        shape = (lit[:, None] == known[None]).float().mean((2, 3))  # (B, 4)
        tint = torch.stack([images[i][:, lit[i]].mean(1) for i in range(len(images))])
        wanted = torch.from_numpy(COLOURS / 127.5 - 1).float()
        colour = -(tint[:, None] - wanted[None]).square().sum(2)
        return [50 * colour, 200 * shape], torch.nn.functional.one_hot(shape.argmax(1), SHAPES).float()


def bars_and_dots(count: int = 100, size: int = 16, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Pictures of two kinds by turns, each on a noisy ground: (count, size, size, channels) uint8."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 60, (count, size, size, channels), dtype=np.uint8)
    images[::2, 6:10] += 150
    images[1::2, 6:10, 6:10] += 150
    return images


def shaken(config: Config) -> SodaNetwork:
    """A model whose parameters are not those of a fresh one."""
    torch.manual_seed(0)
    model = build_model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return model


def context_of(config: Config, prepared: Path, folder: Path, **settings: Any) -> EvaluationContext:
    """What the evaluation stage measures, of a model as the train stage leaves it. Figures go into folder/figures."""
    model, data = shaken(config), PreparedData(prepared)
    save_model(folder / "model", model, config, data_version=data.version, images=1)
    (folder / "figures").mkdir()
    protocol = dataclasses.replace(config.evaluate, **settings)
    return EvaluationContext(model, config, data, protocol, folder / "figures", folder / "model")
