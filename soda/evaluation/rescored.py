"""An encoder as it was released, on data that came later: the figures that the next release is held to, by the same probes."""

from __future__ import annotations

import numpy as np
import torch

from soda.config.schema_results import EvaluateConfig
from soda.data.columns import SPLITS
from soda.data.dataset import PreparedData
from soda.evaluation.context import MAX_IMAGES
from soda.evaluation.knn import knn_probe
from soda.evaluation.linear_probe import Features, linear_probe
from soda.evaluation.probing import Probed
from soda.evaluation.samples import Sample, draw_sample
from soda.runtime import Encoder


def rescored(encoder: Encoder, data: PreparedData, config: EvaluateConfig) -> dict[str, float]:
    """Both probes of z, on the images that evaluation probes: the keys of the measure `probe`.

    Empty where labels cannot be probed: fewer than two in train, or none in test.
    """
    samples = {name: draw_sample(data.split(name), MAX_IMAGES, config.seed) for name in SPLITS}
    train, test = samples["train"].labels, samples["test"].labels
    if len(np.unique(train[train >= 0])) < 2 or not (test >= 0).any():
        return {}
    sets = [_features(encoder, samples[name], config.batch_size) for name in SPLITS]
    classes = len(data.label_names)
    linear = linear_probe(*sets, classes=classes, l2=config.probe_l2)
    found = Probed(linear, knn_probe(*sets, classes=classes, k=config.knn_k)).figures()
    return {key: value for key, value in found.items() if value is not None}


def _features(encoder: Encoder, sample: Sample, batch_size: int) -> Features:
    """Raw z of the images as they are: x (n, D) float32."""
    blocks = [
        encoder.run(images if images.shape[3] == 3 else np.repeat(images, 3, axis=3)) for images in sample.batches(batch_size)
    ]
    z = np.concatenate(blocks) if blocks else np.empty((0, encoder.latent_dim), np.float32)
    return Features(torch.from_numpy(z), torch.from_numpy(sample.labels))
