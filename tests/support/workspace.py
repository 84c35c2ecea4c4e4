"""A trained model, its data and its export, small: shared, since tracing a denoiser takes seconds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from soda.common.images import to_float
from soda.config import Config
from soda.data.dataset import PreparedData
from soda.export.onnx import export
from soda.inference.directions import Direction, Directions, save_directions, weights_sha256
from soda.model.network import build_model
from soda.training.checkpoint import save_model

EXPORT = ("export.parity_images=24", "export.decoder_images=6", "export.calibration_images=32", "export.probe_images=60")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_prepared(
    folder: Path,
    *,
    size: int,
    channels: int,
    train: int = 60,
    val: int = 20,
    test: int = 30,
    labels: tuple[str, ...] = ("a", "b"),
) -> None:
    count = train + val + test
    (folder / "shards").mkdir(parents=True)
    np.save(folder / "shards" / "00000.npy", noise(count, size, size, channels))
    table = {
        "id": [f"id-{i}" for i in range(count)],
        "split": ["train"] * train + ["val"] * val + ["test"] * test,
        "label": [labels[i % len(labels)] if labels else "" for i in range(count)],
        "file": [f"pictures/{i}.png" for i in range(count)],
        "shard": [0] * count,
        "row": list(range(count)),
    }
    pq.write_table(pa.table(table), folder / "manifest.parquet")
    summary = {
        "dataset": "folder",
        "image_size": size,
        "channels": channels,
        "labels": list(labels),
        "manifest_sha256": hashlib.sha256((folder / "manifest.parquet").read_bytes()).hexdigest(),
        "shards": [{"file": "shards/00000.npy", "count": count}],
        "licence": "CC0-1.0",
        "source": "drawn at random",
    }
    (folder / "summary.json").write_text(json.dumps(summary))


class Workspace:
    """A trained model, its data and its evaluation, small, and the paths that the stage takes."""

    def __init__(self, root: Path, config: Config) -> None:
        self.root, self.config = root, config
        self.model_dir, self.prepared, self.evaluation = root / "model", root / "prepared", root / "evaluate.json"
        self.directions = root / "directions.safetensors"
        self.encoder, self.denoiser = root / "out" / "encoder.onnx", root / "out" / "denoiser.onnx"
        self.variants, self.metrics = root / "out" / "variants", root / "out" / "export.json"
        write_prepared(self.prepared, size=config.dataset.image_size, channels=config.dataset.channels)
        self.data = PreparedData(self.prepared)
        torch.manual_seed(0)
        self.model = build_model(config)
        with torch.no_grad():
            self.model.train()
            for _ in range(3):
                self.model.encode(to_float(self.data.split("train").gather(np.arange(32))))
        self.save(self.data.version)
        self.evaluation.write_text(json.dumps({"probe": {"linear_top1": 0.86, "knn_k": 10}, "latent": {"usage_gap": 0.3}}))

    def save(self, data_version: str) -> None:
        save_model(self.model_dir, self.model, self.config, data_version=data_version, images=96)
        self.model.eval().requires_grad_(False)

    def export(self, **changes: Path) -> dict[str, Any]:
        outs = ("encoder", "denoiser", "variants", "metrics")
        paths = {name: getattr(self, name) for name in ("model_dir", "prepared", "evaluation", "directions", *outs)}
        return export(self.config.export, **(paths | changes))

    def remains(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.encoder.parent.rglob("*")) if path.is_file()}

    def save_directions(self) -> None:
        """Two directions, the second with a name."""
        vectors = torch.eye(self.model.latent_dim)
        items = (Direction(vectors[3], 0.5, "pca", None, 0.4, 0.2), Direction(vectors[9], 2.0, "section", 2, 0.1, 0.1, "sleeves"))
        save_directions(self.directions, Directions(items, weights_sha256(self.model_dir), {}))
