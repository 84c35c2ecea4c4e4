"""What the gate reads from the shards is what is in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from soda.data.gate.reading import read_prepared
from soda.data.gate.shard_stats import read_shard
from tests.support.prepared_factory import make_prepared


def test_the_reading_agrees_with_numpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soda.data.gate.shard_stats._BLOCK_BYTES", 1000)  # several blocks, the last one smaller
    pixels = np.random.default_rng(0).integers(0, 256, (17, 8, 8, 3), dtype=np.uint8)
    pixels[3] = 77
    path = tmp_path / "shard.npy"
    np.save(path, pixels)
    reading = read_shard(path, image_size=8, channels=3)
    grey = pixels.reshape(17, -1) / 255.0
    np.testing.assert_allclose(reading.mean, grey.mean(1), atol=1e-12)
    np.testing.assert_allclose(reading.std, grey.std(1), atol=1e-12)
    assert reading.std[3] == 0.0
    assert (reading.min == pixels.reshape(17, -1).min(1)).all()
    assert (reading.max == pixels.reshape(17, -1).max(1)).all()
    for foreign in (pixels.astype(np.float32), pixels[:, :4], np.array(3, np.uint8)):
        np.save(path, foreign)
        assert "it should hold uint8 (n, 8, 8, 3)" in str(read_shard(path, image_size=8, channels=3).problem)


def test_a_shard_that_nobody_listed_is_found(tmp_path: Path) -> None:
    prepared = make_prepared(tmp_path / "prepared")
    np.save(prepared / "shards" / "99999.npy", np.zeros((1, 8, 8, 1), np.uint8))
    files = read_prepared(prepared).files
    assert files.loc[files["problem"].notna(), "file"].tolist() == [str(prepared / "shards" / "99999.npy")]
