"""Shards from an object store: the same pixels as from here, in bounded room, and nothing that is not what was prepared."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from soda.data.dataset import DatasetError, PreparedData
from soda.data.gate.verdict import GateError, sealed
from soda.data.locks import locked
from soda.data.shard_cache import ShardCache
from soda.training.batches import Reader
from soda.training.passed_data import passed_data
from tests.support.prepared_factory import make_prepared, sha256_of
from tests.support.s3_server import KEYS, OWN, s3_server
from tests.support.settings import make_config

ROOT = Path(__file__).parents[2]
SHARD = 10 * 16 * 16 + 128
"""Bytes of a shard's file."""


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    return make_prepared(tmp_path / "prepared", n=130, size=16, shard_size=10, splits=(0.1, 0.1))


@pytest.fixture
def bare(tmp_path: Path, prepared: Path) -> Path:
    """The manifest and the summary alone."""
    folder = tmp_path / "bare"
    folder.mkdir()
    for name in ("manifest.parquet", "summary.json"):
        shutil.copyfile(prepared / name, folder / name)
    return folder


@pytest.fixture
def memory(prepared: Path) -> Iterator[str]:
    """The prepared folder in this process's memory, as fsspec has it."""
    files = fsspec.filesystem("memory")
    files.put(str(prepared), "/store/", recursive=True)
    yield next(f"memory://{path.removesuffix('/summary.json')}" for path in files.find("/store") if path.endswith("summary.json"))
    files.rm("/store", recursive=True)


def used(folder: Path) -> int:
    """Bytes of the files in it, some of which may go meanwhile."""
    total = 0
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def read_all(data: PreparedData, buffer: int, *, steps: int = 26) -> list[np.ndarray]:
    config = make_config("dataset.channels=1", "train.batch_size=8", f"train.shuffle_buffer={buffer}")
    return [batch.target.numpy() for batch in Reader(data.split("train"), None, config.train).stream(0, steps)]


def test_training_reads_from_s3_what_it_reads_from_here_in_a_cache_that_must_evict(
    prepared: Path, bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("s3fs", reason="pip install s3fs")
    for key, value in KEYS.items():
        monkeypatch.setenv(key, value)
    for key in OWN:
        monkeypatch.delenv(key, raising=False)
    wanted = read_all(PreparedData(prepared), 16)
    with s3_server("pictures") as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        store = fsspec.filesystem("s3", skip_instance_cache=True)
        for path in (prepared / "shards").iterdir():
            store.pipe_file(f"pictures/mine/shards/{path.name}", path.read_bytes())
        cache = ShardCache("s3://pictures/mine", tmp_path / "cache", 9 * SHARD)
        most = 0
        data = PreparedData(bare, cache)
        config = make_config("dataset.channels=1", "train.batch_size=8", "train.shuffle_buffer=16")
        found = []
        for batch in Reader(data.split("train"), None, config.train).stream(0, 26):
            found.append(batch.target.numpy())
            most = max(most, used(tmp_path / "cache"))
        assert all((a == b).all() for a, b in zip(found, wanted, strict=True))
        assert 4 * SHARD < most <= 9 * SHARD and len(data.summary["shards"]) == 13
        cache.close()


def test_the_setting_takes_pixels_from_elsewhere_and_the_verdict_still_counts(
    bare: Path, prepared: Path, memory: str, tmp_path: Path
) -> None:
    verdict = tmp_path / "validation.json"
    about = {"data_version": sha256_of(prepared / "manifest.parquet"), "summary_sha256": sha256_of(prepared / "summary.json")}
    verdict.write_text(
        json.dumps(sealed({"success": True, "allowed": False, "rows": 130, "checks": [], "failures": [], **about}))
    )
    config = make_config("dataset.channels=1", f"train.shards.address={memory}", "train.shards.gigabytes=0.001")
    data = passed_data(config, bare, verdict)
    assert (data.split("val").gather([3, 0]) == PreparedData(prepared).split("val").gather([3, 0])).all()
    (bare / "manifest.parquet").write_bytes(b"another")
    with pytest.raises(GateError, match="another than the gate saw"):
        passed_data(config, bare, verdict)


def test_a_wrong_a_cut_and_a_missing_shard_are_named_and_never_kept(bare: Path, memory: str, tmp_path: Path) -> None:
    cache = ShardCache(memory, tmp_path / "cache", 100 * SHARD)
    data, files = PreparedData(bare, cache), fsspec.filesystem("memory")
    place = f"{memory.removeprefix('memory://')}/shards/00002.npy"
    whole = files.cat(place)
    for content, says in ((whole[:-7], "truncated"), (b"x" * len(whole), "of other data"), (whole + b"1", "longer than")):
        files.pipe(place, content)
        with pytest.raises(DatasetError, match=rf"shards/00002\.npy: .*{says}"):
            data.shard(2)
    files.rm(place)
    with pytest.raises(DatasetError, match=r"shards/00002\.npy: no such file, but summary\.json has it"):
        data.shard(2)
    assert [path.name for path in (tmp_path / "cache").iterdir()] in ([], ["lock"])
    files.pipe(place, whole)
    assert data.shard(2).shape == (10, 16, 16, 1)


def test_too_little_room_is_said_before_training(bare: Path, memory: str, tmp_path: Path) -> None:
    for buffer, needed in ((0, 11), (16, 9)):
        data = PreparedData(bare, ShardCache(memory, tmp_path / "cache", 5 * SHARD))
        with pytest.raises(DatasetError, match=rf"train\.shards\.gigabytes: .* less than the {needed} shards"):
            read_all(data, buffer)


def test_a_shard_in_use_stays_and_what_a_killed_process_left_goes(
    bare: Path, memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soda.data.shard_cache.WAIT", 0.2)
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "of a killed process.part").write_bytes(bytes(2 * SHARD))
    first, second = (PreparedData(bare, ShardCache(memory, folder, 2 * SHARD)) for _ in range(2))
    pixels = first.shard(0)
    second.shard(1)
    assert not list(folder.glob("*.part")) and used(folder) == 2 * SHARD
    third = PreparedData(bare, ShardCache(memory, folder, 2 * SHARD))
    with pytest.raises(DatasetError, match="no room for 2688 bytes: others use all of its 5376"):
        third.shard(2)
    assert second.cache is not None
    second.cache.close()
    third.shard(2)
    assert len(list(folder.glob("*.npy"))) == 2 and (first.shard(0) == pixels).all()


def test_a_shard_that_several_want_is_brought_once(bare: Path, memory: str, tmp_path: Path) -> None:
    brought: list[str] = []

    class Counting(ShardCache):
        def _download(self, entry: dict[str, object], part: int, most: int) -> None:
            brought.append(str(entry["file"]))
            super()._download(entry, part, most)

    caches = [Counting(memory, tmp_path / "cache", 100 * SHARD) for _ in range(4)]
    entries = PreparedData(bare).summary["shards"][:5]
    at_work = [
        threading.Thread(target=lambda c=c: [c.get(entry, SHARD - 128) for entry in entries])  # type: ignore[misc]
        for c in caches
    ]
    for each in at_work:
        each.start()
    for each in at_work:
        each.join()
    assert sorted(brought) == sorted(entry["file"] for entry in entries)


def test_who_waits_for_a_shard_has_it_while_whoever_brought_it_goes_on_using_it(
    bare: Path, prepared: Path, memory: str, tmp_path: Path
) -> None:
    fcntl = pytest.importorskip("fcntl")
    entry = PreparedData(bare).summary["shards"][0]
    (tmp_path / "cache").mkdir()
    name = tmp_path / f"cache/{entry['sha256']}.npy"
    bringing = locked(name.with_suffix(".part"), create=True)
    assert bringing is not None
    cache, found = ShardCache(memory, tmp_path / "cache", 100 * SHARD), list[np.ndarray]()
    waiting = threading.Thread(target=lambda: found.append(cache.get(entry, SHARD - 128)), daemon=True)
    waiting.start()
    time.sleep(0.3)
    assert not found
    os.pwrite(bringing, (prepared / entry["file"]).read_bytes(), 0)
    os.replace(name.with_suffix(".part"), name)
    fcntl.flock(bringing, fcntl.LOCK_SH)  # in use from now on
    waiting.join(10)
    assert len(found) == 1 and (found[0] == np.load(prepared / entry["file"])).all()
    os.close(bringing)
    cache.close()


def test_processes_share_a_cache_that_is_too_small_for_all_they_read(prepared: Path, bare: Path, tmp_path: Path) -> None:
    """Two at once, through windows in the same order, as those of one training are."""
    code = (
        "import sys, numpy as np; from pathlib import Path; from soda.data.dataset import PreparedData\n"
        "from soda.data.shard_cache import ShardCache; from soda.training.shard_order import ShardOrder\n"
        f"cache = ShardCache('file://' + sys.argv[2], Path(sys.argv[3]), {9 * SHARD})\n"
        "split = PreparedData(sys.argv[1], cache).split('train')\n"
        "order = ShardOrder(split.stretches.lengths, 16, 0)\n"
        "split.plan_shards(order.most_at_once)\n"
        "for start in range(0, 520, 8):\n"
        "    split.fetch_ahead(np.concatenate([order.shards_of(order.window_at(start) + k) for k in (0, 1)]))\n"
        "    assert split.gather(order.indices(start, 8)).shape == (8, 16, 16, 1)\n"
    )
    command = [sys.executable, "-c", code, str(bare), str(prepared), str(tmp_path / "cache")]
    both = [subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}) for _ in range(2)]
    assert [each.wait(timeout=120) for each in both] == [0, 0]
    assert used(tmp_path / "cache") <= 9 * SHARD


def test_a_lock_is_on_the_file_that_has_the_name(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert locked(path) is None
    first = locked(path, create=True)
    assert first is not None and locked(path, wait=False) is None
    os.close(first)
    shared = [locked(path, shared=True) for _ in range(2)]
    assert None not in shared and locked(path, wait=False) is None
    for each in shared:
        os.close(each or 0)
