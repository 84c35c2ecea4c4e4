"""A released encoder on new pictures: the figures are those that evaluation would give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from soda.config import load
from soda.data.dataset import PreparedData
from soda.evaluation.knn import knn_probe
from soda.evaluation.linear_probe import Features
from soda.evaluation.rescored import rescored
from soda.runtime import Encoder
from tests.support.running import ENCODER
from tests.support.settings import ROOT
from tests.support.workspace import write_prepared


def test_the_probes_are_those_of_evaluation_on_the_pictures_of_now(tmp_path: Path) -> None:
    write_prepared(tmp_path / "prepared", size=32, channels=1, train=60, val=30, test=40)
    data, encoder, config = PreparedData(tmp_path / "prepared"), Encoder(ENCODER, threads=1), load(ROOT / "params.yaml").evaluate
    found = rescored(encoder, data, config)
    assert 0.0 <= found["linear_top1"] <= 1.0 and found == rescored(encoder, data, config)
    z = {}
    for name in ("train", "val", "test"):
        split = data.split(name)
        images = [np.repeat(split.gather(np.arange(len(split))), 3, axis=3)]
        z[name] = Features(torch.from_numpy(encoder.run(images[0])), torch.from_numpy(split.labels))
    own = knn_probe(z["train"], z["val"], z["test"], classes=len(data.label_names), k=config.knn_k)
    assert found["knn_top1"] == own.test_top1 and found["knn_k"] == own.k


def test_without_labels_there_is_nothing_to_probe(tmp_path: Path) -> None:
    write_prepared(tmp_path / "prepared", size=32, channels=1, train=60, val=30, test=40, labels=())
    data = PreparedData(tmp_path / "prepared")
    assert rescored(Encoder(ENCODER, threads=1), data, load(ROOT / "params.yaml").evaluate) == {}
