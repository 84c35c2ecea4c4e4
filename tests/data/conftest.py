"""Real pictures and a real, small IDX set, written to temporary folders."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from soda.config import DatasetConfig
from soda.data.sources import fashion_mnist
from tests.support.samples import IdxSet, MakeConfig, picture


@pytest.fixture
def dataset_config() -> MakeConfig:
    """Settings of the source `folder`, small, in this process; keywords replace single ones."""

    def make(**settings: object) -> DatasetConfig:
        base: dict[str, object] = {
            "name": "folder",
            "path": "pictures",
            "image_size": 8,
            "channels": 3,
            "resize": "crop",
            "labels": "auto",
            "csv_file_column": "file",
            "csv_label_column": "label",
            "duplicates": "keep",
            "splits": "auto" if settings.get("name", "folder") == "folder" else "official",
            "val_fraction": 0.2,
            "test_fraction": 0.2,
            "max_unreadable": 0.5,
            "max_pixels": 1_000_000,
            "min_side": 2,
            "min_std": 0.0,
            "shard_size": 16,
            "workers": 1,
            "seed": 0,
        }
        return DatasetConfig(**{**base, **settings})  # type: ignore[arg-type]

    return make


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """60 pictures: cats and dogs, with nesting, spaces and umlauts in their names, among files that are none."""
    root = tmp_path / "my pictures"
    for index in range(60):
        folder = root / ("cats" if index % 3 else "dogs/big ones")
        folder.mkdir(parents=True, exist_ok=True)
        picture(index).save(folder / f"größe {index}.{('png', 'jpg', 'webp')[index % 3]}")
    (root / "notes.txt").write_text("not a picture")
    (root / "cats" / ".DS_Store").write_bytes(b"\0")
    (root / "cats" / "Thumbs.db").write_bytes(b"\0")
    (root / "cats" / "._größe 1.jpg").write_bytes(b"\0")
    return root


@pytest.fixture
def idx_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IdxSet:
    """The set lies where the Debian package puts it; the package itself and the mirrors are out of reach."""
    folder = tmp_path / "usr-share"
    folder.mkdir()
    rng = np.random.default_rng(0)
    images, labels, sums = {}, {}, []
    for part, count in (("train", 40), ("t10k", 10)):
        images[part] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels[part] = (np.arange(count) % 10).astype(np.uint8)
        for kind, magic, array in (("images-idx3", 0x803, images[part]), ("labels-idx1", 0x801, labels[part])):
            data = struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.tobytes()
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(data))
            sums.append(f"{hashlib.md5(data).hexdigest()}  {part}-{kind}-ubyte\n")
    (tmp_path / "list.md5").write_text("# what it is\n" + "".join(sums))
    places = fashion_mnist.places
    monkeypatch.setattr(fashion_mnist, "FOLDER", folder)
    monkeypatch.setattr(fashion_mnist, "places", lambda earlier: places(earlier)[:2])
    return IdxSet(folder, tmp_path / "list.md5", images, labels)
