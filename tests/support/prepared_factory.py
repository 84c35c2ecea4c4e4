"""Small folders of prepared data for tests, in the format that the prepare stage writes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Edit = Callable[[pd.DataFrame], pd.DataFrame]


def make_prepared(
    folder: Path,
    *,
    n: int = 60,
    size: int = 8,
    channels: int = 1,
    labels: Sequence[str] | None = ("cat", "dog"),
    splits: tuple[float, float] = (0.2, 0.2),
    shard_size: int = 25,
    seed: int = 0,
    pixels: np.ndarray | None = None,
    edit: Edit | None = None,
) -> Path:
    """Write `n` random pictures as prepared data into `folder` and return it.

    `labels` are dealt out in turn within each split (None: no labels). `splits`: shares of val and test; the first pictures are
    train. `pixels`: (n, size, size, channels) uint8 instead of random ones. `edit` changes the manifest before it is written, as
    if preparation had made it so (checksums fit); edit the files afterwards for data that was tampered with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shards").mkdir(exist_ok=True)
    if pixels is None:
        pixels = np.random.default_rng(seed).integers(0, 256, (n, size, size, channels), dtype=np.uint8)
    n = len(pixels)
    grey = pixels.reshape(n, -1) / 255.0
    val, test = round(n * splits[0]), round(n * splits[1])
    split = ["train"] * (n - val - test) + ["val"] * val + ["test"] * test
    manifest = pd.DataFrame(
        {
            "id": [f"p{i:04d}" for i in range(n)],
            "sha256": [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pixels],
            "split": split,
            "label": [labels[i % len(labels)] if labels else "" for i in range(n)],
            "width": np.full(n, 40, np.int32),
            "height": np.full(n, 30, np.int32),
            "mode": ["RGB"] * n,
            "mean": grey.mean(1),
            "std": grey.std(1),
            "file": [f"raw/{i:04d}.png" for i in range(n)],
            "shard": (np.arange(n) // shard_size).astype(np.int32),
            "row": (np.arange(n) % shard_size).astype(np.int32),
        }
    )
    if edit is not None:
        manifest = edit(manifest)
    shards = []
    for start in range(0, n, shard_size):
        path = folder / "shards" / f"{start // shard_size:05d}.npy"
        np.save(path, pixels[start : start + shard_size])
        shards.append(
            {"file": f"shards/{path.name}", "sha256": sha256_of(path), "count": len(pixels[start : start + shard_size])}
        )
    write_manifest(folder, manifest)
    summary: dict[str, Any] = {
        "dataset": "folder",
        "image_size": pixels.shape[1],
        "channels": pixels.shape[3],
        "resize": "crop",
        "count": len(manifest),
        "splits": {name: int((manifest["split"] == name).sum()) for name in ("train", "val", "test")},
        "labels": sorted(set(manifest["label"].dropna().astype(str)) - {""}),
        "manifest_sha256": sha256_of(folder / "manifest.parquet"),
        "shards": shards,
        "rejected": 0,
        "duplicates_dropped": 0,
        "licence": "unknown",
        "source": "random numbers",
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2), encoding="utf-8")
    (folder / "rejected.csv").write_text("file,reason\n", encoding="utf-8")
    return folder


def read_manifest(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "manifest.parquet")


def write_manifest(folder: Path, manifest: pd.DataFrame) -> None:
    manifest.to_parquet(folder / "manifest.parquet", index=False)


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
