"""Does encoder.onnx compute what the torch model computes? Asked of real pictures, as prepared and at other sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import torch
from PIL import Image

from soda.data.dataset import PreparedData, Split
from soda.export import ExportError
from soda.export.graph import DeployedEncoder
from soda.export.statistics import evenly_spaced, gather_rgb
from soda.runtime import Encoder
from soda.runtime.metadata import OUTPUT
from soda.runtime.preprocess import to_square

BATCHES = (1, 3, 17, 64)
"""Batch sizes that the check walks through in turn."""

SIZES = ((0.875, 0.875), (2.0, 1.5), (1.0, 2.25), (6.25, 9.375))
"""Other sizes than S x S that are tried, as (height, width) in units of S: 28x28, 64x48, 32x72 and 200x300 at S = 32."""

RESIZED = 4
"""Pictures tried at each of these sizes."""

MAX_LEVELS = 1.0
"""Greatest difference of a prepared pixel from Pillow's, in grey levels (soda.export.graph says where it is not 0)."""


@dataclass(frozen=True)
class Likeness:
    """Over all pictures: differences of z standardised by the training statistics, cosines of z itself, picture by picture; and
    the same of the features, where there are some."""

    images: int
    max_abs_diff: float
    mean_cosine: float
    min_cosine: float
    features_max_abs_diff: float | None = None
    features_mean_cosine: float | None = None
    features_min_cosine: float | None = None


@torch.inference_mode()
def likeness(encoder: Encoder, module: DeployedEncoder, split: Split, count: int, *, most: float = np.inf) -> Likeness:
    """How near the z, and the features, of `encoder` are to the torch module's on `count` pictures of the split.

    most: what each difference may be, for the graph that must be equal; its preprocessing is then held to Pillow's, too. Raises
    ExportError naming the picture and the value where it is not, and when there is no picture to compare on.
    """
    diffs: dict[str, list[np.ndarray]] = {name: [] for name in encoder.widths}
    cosines: dict[str, list[np.ndarray]] = {name: [] for name in encoder.widths}
    for names, images in _batches(split, count):
        tensor = torch.from_numpy(images)
        if most < np.inf:
            _check_pixels(names, images, module.pixels(tensor).numpy(), module)
        found, wanted = dict(zip(diffs, encoder.run_outputs(images, list(diffs)), strict=True)), module.outputs(tensor)
        for output, vectors in found.items():
            diff = np.abs(vectors - wanted[output].numpy()) / encoder.statistics[output][1]  # (n, D)
            if most < np.inf:
                _check_vectors(names, np.nan_to_num(diff, nan=np.inf), most, output)
            diffs[output].append(diff.max(1))
            cosines[output].append(_cosine(vectors, wanted[output].numpy()))
    if not diffs[OUTPUT]:
        raise ExportError(f"the {split.name} split has no pictures, so the encoder cannot be compared with the torch model")
    figures = [
        (float(np.concatenate(diffs[name]).max()), float(cosine.mean()), float(cosine.min()))
        for name, cosine in ((name, np.concatenate(parts)) for name, parts in cosines.items())
    ]
    return Likeness(sum(map(len, diffs[OUTPUT])), *(value for each in figures for value in each))


def comparison_split(data: PreparedData) -> Split:
    """The test split; of a data set too small to have one, val, else train."""
    splits = [data.split(name) for name in ("test", "val", "train")]
    return next((split for split in splits if len(split)), splits[0])


def _batches(split: Split, count: int) -> Iterator[tuple[list[str], np.ndarray]]:
    """Names and pictures, uint8 RGB (n, H, W, 3): as prepared, in batches of changing size; then some of them at other sizes."""
    indices = evenly_spaced(len(split), count)
    start, sizes = 0, cycle(BATCHES)
    while len(batch := indices[start : start + next(sizes)]):
        start += len(batch)
        yield [_name(split, i) for i in batch], gather_rgb(split, batch)
    few = indices[evenly_spaced(len(indices), RESIZED)]
    images = gather_rgb(split, few)
    for factors in SIZES if len(few) else ():
        height, width = (max(1, round(factor * images.shape[1])) for factor in factors)
        resized = [Image.fromarray(p).resize((width, height), Image.Resampling.BICUBIC) for p in images]
        yield [f"{_name(split, i)} at {height} x {width} px" for i in few], np.stack([np.asarray(p) for p in resized])


def _name(split: Split, index: int) -> str:
    return f"{split.name} picture {split.ids[index]} ({split.files[index]})"


def _check_vectors(names: list[str], diff: np.ndarray, most: float, output: str) -> None:
    worst = int(diff.max(1).argmax())
    if diff[worst].max() > most:
        raise ExportError(
            f"the exported encoder differs from the torch model by {diff[worst].max():.3g} standard deviations "
            f"(component {diff[worst].argmax()} of {output} of {names[worst]}, batch of {len(diff)}); "
            f"export.max_abs_diff allows {most:g}"
        )


def _check_pixels(names: list[str], images: np.ndarray, pixels: np.ndarray, module: DeployedEncoder) -> None:
    """Hold the graph's preprocessing to Pillow's. images: uint8 (n, H, W, 3); pixels: (n, C, S, S), of the graph."""
    for name, image, found in zip(names, images, pixels, strict=True):
        square = to_square(Image.fromarray(image), module.image_size, channels=module.channels, resize=module.resize)
        levels = np.abs(found.transpose(1, 2, 0) - square).max()
        if not levels <= MAX_LEVELS:
            raise ExportError(f"the graph prepares {name} otherwise than Pillow does: {levels:.3g} grey levels apart")


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of each row: (n, D), (n, D) -> (n,); 1 for two zero vectors."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.where(lengths > 0, (a * b).sum(1) / np.maximum(lengths, np.finfo(np.float32).tiny), 1.0)
