"""Large pictures are decoded where memory has room for all that decode at once."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from soda.runtime import cost, memory
from soda.runtime.items import square_pixels
from soda.runtime.memory import take, until_done
from soda.runtime.picture_file import open_picture
from soda.runtime.preprocess import PictureError
from soda.runtime.tiff_layout import layout_of
from tests.support.samples import bomb_png
from tests.support.tiffs import FLOAT, Stored, tiff

LARGE = 1_000_000_000


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: LARGE * 3 // 2)


def most_at_once(work: int, workers: int = 4) -> int:
    """How many threads of `workers` hold `work` bytes at the same time."""
    lock, inside, most = threading.Lock(), 0, 0

    def one(_: int) -> None:
        nonlocal inside, most
        with until_done():
            assert take(work) is None
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.05)
            with lock:
                inside -= 1

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, range(2 * workers)))
    return most


@pytest.mark.usefixtures("left")
def test_threads_that_need_most_of_the_memory_take_turns() -> None:
    assert most_at_once(LARGE) == 1
    assert most_at_once(memory.UNASKED) > 1  # small ones do not wait


@pytest.mark.usefixtures("left")
def test_a_turn_ends_with_its_block_and_not_before() -> None:
    with ThreadPoolExecutor(1) as pool:
        with until_done():
            with until_done():
                assert take(LARGE) is None
            assert take(LARGE) is None  # its own turn: it does not wait for itself
            waiting = pool.submit(most_at_once, LARGE, 1)
            time.sleep(0.1)
            assert not waiting.done()
        assert waiting.result(timeout=30) == 1


@pytest.mark.usefixtures("left")
def test_processes_take_turns_too() -> None:
    code = """
        import sys, time
        from soda.runtime import memory
        memory.available_memory = lambda: 1_500_000_000
        with memory.until_done():
            assert memory.take(1_000_000_000) is None
            print("has it", flush=True)
            time.sleep(0.5)
            print(time.time(), flush=True)
    """
    other = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "has it\n"
    with until_done():
        assert take(LARGE) is None
        mine = time.time()
    assert mine >= float(other.stdout.readline())
    assert other.wait(timeout=30) == 0


def test_who_waits_too_long_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: LARGE * 3 // 2)
    monkeypatch.setattr(memory, "WAIT", 0.1)
    with until_done():
        take(LARGE)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(most_at_once, LARGE, 1).result(timeout=30) == 1


def kinds() -> dict[str, tuple[bytes, int]]:
    """Files of 40 x 30 px, and bytes a pixel that were measured when files of their kind of 20 million were made square."""
    grey = np.tile(np.arange(40.0), (30, 1))[:, :, None]
    colours = np.repeat(grey, 3, 2)

    def saved(mode: str, format: str, **settings: Any) -> bytes:
        buffer = io.BytesIO()
        Image.new(mode, (40, 30)).save(buffer, format, **settings)
        return buffer.getvalue()

    def stored(values: np.ndarray, **about: Any) -> bytes:
        return tiff(values, Stored(**about))

    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "colours": (saved("RGB", "PNG"), 8),
        "turned": (saved("RGB", "JPEG", exif=exif), 12),
        "inks": (saved("CMYK", "JPEG"), 12),
        "grey and alpha": (saved("LA", "PNG"), 17),
        "colours and alpha": (saved("RGBA", "PNG"), 14),
        "a clear colour": (saved("RGB", "PNG", transparency=(1, 2, 3)), 17),
        "floats": (saved("F", "TIFF"), 15),
        "WebP": (saved("RGB", "WEBP"), 17),
        "JPEG 2000": (saved("RGB", "JPEG2000"), 20),
        "12 bits": (stored(grey, bits=12), 10),
        "12 bits in colour": (stored(colours, bits=12, photometric=2), 22),
        "16 bits and alpha": (stored(np.repeat(grey, 4, 2), bits=16, photometric=2, extra=2), 24),
        "colours of 32-bit floats": (stored(colours, bits=32, kind=FLOAT, photometric=2, deflate=True), 36),
        "colours of 64-bit floats": (stored(colours, bits=64, kind=FLOAT, photometric=2), 72),
    }


@pytest.mark.parametrize("name", kinds())
def test_what_a_picture_costs_is_known_before_it_is_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content, measured = kinds()[name]
    monkeypatch.setattr(memory, "UNASKED", 0)
    for short in (True, False):
        monkeypatch.setattr(memory, "available_memory", lambda short=short: 40 * 30 * measured - 1 if short else LARGE)
        if short:
            with pytest.raises(PictureError, match=r"a: (40 x 30|30 x 40) px takes up to .* GB of memory to decode"):
                open_picture(io.BytesIO(content), name="a")
        else:
            assert open_picture(io.BytesIO(content), name="a").size == (40, 30)
    layout = layout_of(io.BytesIO(content)) if content[:2] == b"II" else None
    if layout is not None and not layout.is_pillows:
        assert measured <= cost.of_layout(layout) <= max(22, 1.4 * measured)


@pytest.mark.usefixtures("left")
def test_threads_decode_large_pictures_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would have room alone; whoever squares it keeps its turn until it is small."""
    (tmp_path / "large.png").write_bytes(bomb_png(12_000, 10_000))
    lock, inside, most = threading.Lock(), 0, 0

    def load(self: Image.Image) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.05)

    def to_square(*args: Any, **settings: Any) -> np.ndarray:
        nonlocal inside
        with lock:
            inside -= 1
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    monkeypatch.setattr("soda.runtime.items.to_rgb", lambda image: image)
    monkeypatch.setattr("soda.runtime.items.to_square", to_square)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: square_pixels("", tmp_path / "large.png", size=8, resize="crop"), range(3)))
    assert most == 1
