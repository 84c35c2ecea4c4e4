"""What vectors are worth: both probes on the same images for all, and their cost."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from soda.common.images import to_float
from soda.config import Config
from soda.data.dataset import PreparedData
from soda.evaluation.knn import knn_probe
from soda.evaluation.linear_probe import Features, linear_probe
from soda.evaluation.samples import Sample, draw_sample, embed_features, pixels
from soda.runtime.foreign_settings import Preprocessing
from soda.runtime.preprocess import load_picture, to_square
from soda.training.teacher import Teach

CPU = torch.device("cpu")
MAX_LABELS = 20_000  # that probes are fitted on
TIMED, BATCH, PCA_COMPONENTS = 20, 64, 128
SPLITS = ("train", "val", "test")

Scores = dict[str, float]
Vectors = dict[str, Features]


@dataclass(frozen=True)
class Judge:
    """The images of a data set that vectors are probed on. pictures: the folder that they were made of, where it can be had."""

    data: PreparedData
    config: Config
    pictures: Path | None = None

    @cached_property
    def samples(self) -> dict[str, Sample]:
        return {name: draw_sample(self.data.split(name), MAX_LABELS, self.config.evaluate.seed) for name in SPLITS}

    def probe(self, vectors: Vectors) -> Scores:
        """Shares of right answers on validation and on test; L2 and k are chosen on validation."""
        sets, settings = [vectors[name] for name in SPLITS], self.config.evaluate
        linear = linear_probe(*sets, classes=len(self.data.label_names), l2=settings.probe_l2)
        near = knn_probe(*sets, classes=len(self.data.label_names), k=settings.knn_k)
        return {
            "linear": linear.test_top1,
            "knn": near.test_top1,
            "linear_val": linear.val_top1 or 0.0,
            "knn_val": near.val_top1 or 0.0,
        }

    def encoder(self, encoder: nn.Module) -> dict[str, Scores]:
        """Scores of z and of the features before it."""
        both = {name: embed_features(encoder, each, batch_size=250, device=CPU) for name, each in self.samples.items()}
        images = to_float(self.samples["train"].gather(np.arange(min(BATCH, len(self.samples["train"])))))
        with torch.inference_mode():
            cost = {"ms": _milliseconds(lambda: encoder(images), len(images)), "mb": _megabytes(encoder)}
        of_z = self.probe({name: z for name, (z, _) in both.items()})
        return {"z": of_z | cost, "features": self.probe({name: each for name, (_, each) in both.items()}) | cost}

    def pixels(self) -> Scores:
        return self.probe({name: pixels(each, 250) for name, each in self.samples.items()})

    def principal(self) -> Scores:
        """Principal components of the pixels, at most PCA_COMPONENTS."""
        flat = {name: pixels(each, 250) for name, each in self.samples.items()}
        centre = flat["train"].x.mean(0)
        _, _, axes = torch.pca_lowrank(flat["train"].x, q=min(PCA_COMPONENTS, *flat["train"].x.shape), niter=4)
        return self.probe({name: Features((each.x - centre) @ axes, each.y) for name, each in flat.items()})

    def foreign(self, teach: Teach, how: Preprocessing, megabytes: float) -> Scores:
        """Of an encoder that somebody else trained. It sees the pictures as they are in the folder, where there is one."""
        vectors = {name: self._taught(each, teach, how) for name, each in self.samples.items()}
        squares = np.zeros((16, how.size, how.size, 3), np.uint8)
        return self.probe(vectors) | {"ms": _milliseconds(lambda: teach(squares), len(squares)), "mb": megabytes}

    def _taught(self, sample: Sample, teach: Teach, how: Preprocessing) -> Features:
        blocks = []
        for start in range(0, len(sample), 32):
            indices = sample.indices[start : start + 32]
            blocks.append(torch.from_numpy(teach(np.stack([self._square(sample, int(i), how) for i in indices]))))
        return Features(torch.cat(blocks).float(), torch.from_numpy(sample.labels))

    def _square(self, sample: Sample, index: int, how: Preprocessing) -> np.ndarray:
        from PIL import Image

        if self.pictures is not None:
            image = load_picture(self.pictures / str(sample.split.files[index]))
        else:
            pixels = sample.split.gather([index])[0]
            image = Image.fromarray(pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels)
        return to_square(image, how.size, resize=how.resize)


def _milliseconds(work: Callable[[], object], images: int) -> float:
    """Processor time of one image."""
    work()
    times = []
    for _ in range(TIMED):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return 1000 * statistics.median(times) / images


def _megabytes(network: nn.Module) -> float:
    file = io.BytesIO()
    torch.save({name: tensor for name, tensor in network.state_dict().items() if isinstance(tensor, Tensor)}, file)
    return file.tell() / 1e6
