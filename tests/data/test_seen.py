"""What was seen before is known by its whole digest, in sixteen bytes of memory each."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path

import pytest

from soda.data import seen as module
from soda.data.seen import Seen


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def test_the_first_name_of_each_content_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RECENT", 7)
    with Seen(tmp_path) as seen:
        for number in range(200):
            assert seen.first(digest(number), f"größe {number}") == f"größe {number}"
            assert seen.first(digest(number // 2), "again") == f"größe {number // 2}"
        lengths = [len(keys) for keys, _ in seen._runs]
        assert lengths == sorted(lengths, reverse=True) and len(lengths) < 8
    assert not list(tmp_path.iterdir())


def test_digests_that_begin_alike_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RECENT", 3)
    alike = [b"eight by" + bytes([number] * 24) for number in range(20)]
    with Seen(tmp_path) as seen:
        assert [seen.first(each, f"{number}") for number, each in enumerate(alike)] == [f"{number}" for number in range(20)]
        assert [seen.first(each, "again") for each in alike] == [f"{number}" for number in range(20)]


def test_memory_is_sixteen_bytes_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RECENT", 128)
    with Seen(tmp_path) as seen:
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(128 * 32):
            seen.first(digest(number), f"a long name of a picture in some folder {number:08d}.jpg")
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert grown < 20 * 128 * 32
