"""The exported model: size, speed against torch, start-up, and how well `soda embed` overlaps decoding and encoding.

Ratios come from one run on one machine. Rates of `soda embed` are measured in processes of their own, as a person would run it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.training import Figures, median_seconds
from soda.export.graph import DeployedEncoder
from soda.layout import ZOO
from soda.runtime import Encoder, duplicates
from soda.runtime.stream import default_workers, pixel_batches
from soda.training.checkpoint import load_model
from soda.vectors.index import duplicate_groups
from soda.vectors.origin import Origin
from soda.vectors.search import search
from soda.vectors.store import Writer, read_blocks

MODEL = ZOO / "fashion_mnist"
WIDTH = 128
"""Numbers of the latents that are drawn for searches: those of the default model."""
DISTINCT = 500  # JPEGs that are really different; the others are links to them
SIDES = ((320, 240), (640, 480))  # px of the JPEGs, thumbnail and small photo: the larger, the more decoding there is
BATCH = 64

START = """
import sys, time
started = time.perf_counter()
import soda.runtime
imported = time.perf_counter() - started
soda.runtime.Encoder(sys.argv[1]).embed([sys.argv[2]])
first = time.perf_counter() - started
status = open("/proc/self/status").read()
rss = int(status.split("VmRSS:")[1].split()[0]) / 1024
print(imported, first, rss)
"""

EMBED = """
import sys, time
from pathlib import Path
from soda.runtime import Encoder
from soda.runtime.stream import default_workers, threads_beside
from soda.vectors.job import embed_folder
encoder, started = Encoder(sys.argv[1], threads=threads_beside(default_workers())), time.perf_counter()
embed_folder(encoder, Path(sys.argv[2]), Path(sys.argv[3]))
seconds = time.perf_counter() - started
print(seconds, int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024)
"""


def measure(*, seconds: float, pictures: int, many: int) -> Figures:
    """pictures: JPEGs for the rates of `soda embed`; many: for its memory, against 1,000."""
    figures = {**_model(seconds), **_starting()}
    with tempfile.TemporaryDirectory() as folder:
        for side in SIDES:
            album = Path(folder) / f"{side[0]}x{side[1]}"
            _write_jpegs(album, pictures, side)
            figures |= {f"{side[0]} x {side[1]} px: {name}": figure for name, figure in _overlap(album, Path(folder)).items()}
        figures |= _memory(Path(folder), album, many)
        figures |= _search(Path(folder))
    return figures | _index()


def _model(seconds: float) -> Figures:
    """Sizes, and onnxruntime against eager torch, both with the preprocessing and as many threads."""
    network, config = load_model(MODEL)
    module = DeployedEncoder(
        network.encoder, image_size=network.image_size, channels=network.channels, resize=config.dataset.resize
    ).eval()
    threads = torch.get_num_threads()
    fp32, int8 = (Encoder(MODEL / name, threads=threads) for name in ("encoder.onnx", "encoder.int8.onnx"))
    size = fp32.path.stat().st_size
    figures: Figures = {
        "encoder.onnx": (size / 1e6, "MB"),
        "encoder.int8.onnx over encoder.onnx": (100 * int8.path.stat().st_size / size, "%"),
    }
    for batch in (1, BATCH):
        images = np.random.default_rng(0).integers(0, 256, (batch, fp32.image_size, fp32.image_size, 3), dtype=np.uint8)
        tensor = torch.from_numpy(images)
        with torch.inference_mode():
            eager = median_seconds(lambda x=tensor: module(x), seconds)
        onnx = median_seconds(lambda x=images: fp32.run(x), seconds)
        figures[f"torch eager, batch {batch}"] = (1000 * eager, "ms")
        figures[f"onnxruntime, batch {batch}"] = (1000 * onnx, "ms")
        figures[f"onnxruntime over torch, batch {batch}"] = (eager / onnx, "times as fast")
    small = median_seconds(lambda x=images: int8.run(x), seconds)
    figures[f"int8 over fp32, batch {BATCH}"] = (onnx / small, "times as fast")
    return figures


def _starting() -> Figures:
    """Import, and import with the first embedding, in fresh processes: the median of five after one that fills the cache."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "a.jpg"
        photo(0, SIDES[0]).save(picture)
        command = [sys.executable, "-c", START, MODEL / "encoder.onnx", picture]
        rows = [list(map(float, _output(command).split())) for _ in range(6)][1:]
    imported, first, memory = np.median(rows, axis=0)
    return {
        "import soda.runtime": (imported, "s"),
        "import and first embedding": (first, "s"),
        "resident after the first embedding": (memory, "MiB"),
    }


def _overlap(album: Path, folder: Path) -> Figures:
    """`soda embed` against its two halves alone, each with the threads that it has there."""
    names = [("", str(path)) for path in sorted(album.iterdir())]
    encoder = Encoder(MODEL / "encoder.onnx")
    settings = {"size": encoder.image_size, "resize": "crop", "batch_size": BATCH, "workers": default_workers(), "skip": False}
    pixels = next(pixel_batches(names, **settings)).pixels  # type: ignore[arg-type]
    started = time.perf_counter()
    for _ in pixel_batches(names, **settings):  # type: ignore[arg-type]
        pass
    decoding = len(names) / (time.perf_counter() - started)
    encoding = BATCH / median_seconds(lambda: encoder.run(pixels), 3)
    seconds, _ = map(float, _output([sys.executable, "-c", EMBED, encoder.path, album, folder / "v.parquet"]).split())
    both = len(names) / seconds
    return {
        "decoding alone": (decoding, "pictures/s"),
        "encoding alone": (encoding, "pictures/s"),
        f"soda embed, {len(names):,} JPEGs": (both, "pictures/s"),
        "soda embed over the slower half alone": (100 * both / min(decoding, encoding), "%"),
        "soda embed over the two halves one after the other": (both * (1 / decoding + 1 / encoding), "times as fast"),
    }


def _memory(folder: Path, album: Path, many: int) -> Figures:
    peaks = {}
    for count in (1000, many):
        links = folder / str(count)
        _link(links, sorted(album.iterdir())[:DISTINCT], count)
        peaks[count] = float(
            _output([sys.executable, "-c", EMBED, MODEL / "encoder.onnx", links, folder / "m.parquet"]).split()[1]
        )
    return {f"soda embed, greatest memory at {count:,} pictures": (peak, "MiB") for count, peak in peaks.items()}


def _latents(count: int) -> np.ndarray:
    """(count, WIDTH) float32 of length 1, as unevenly spread as the model's; the second half are near copies of the first."""
    rng = np.random.default_rng(0)
    half = rng.normal(size=(count // 2, WIDTH)) * np.geomspace(1, 0.01, WIDTH)
    z = np.concatenate([half, half + 0.002 * rng.normal(size=half.shape)]).astype(np.float32)
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def _index(counts: tuple[int, ...] = (20_000, 100_000)) -> Figures:
    """Duplicates by comparing all pairs, and by cells: `soda duplicates` takes cells where that is quicker."""
    figures: Figures = {}
    for count in counts:
        z, started = _latents(count), time.perf_counter()
        exact = {tuple(group) for group in duplicates(z, threshold=0.999)}
        middle = time.perf_counter()
        found = {tuple(group) for group in duplicate_groups(z, 0.999, "approximate")}
        end = time.perf_counter()
        figures |= {
            f"duplicates among {count:,}, all pairs": (middle - started, "s"),
            f"duplicates among {count:,}, by cells": (end - middle, "s"),
            f"groups among {count:,} that cells find": (100 * len(found & exact) / len(exact), "%"),
        }
    return figures


def _search(folder: Path, count: int = 500_000) -> Figures:
    """One picture among many, from a Parquet file that is read for it."""
    path, z = folder / "many.parquet", _latents(count)
    origin = Origin(str(folder), "drawn", WIDTH, "stats+l2", [0.0] * WIDTH, [1.0] * WIDTH)
    with Writer(path, ".parquet", origin) as writer:
        for start in range(0, count, 4096):
            block = z[start : start + 4096]
            writer.append([f"{start + i:07d}.jpg" for i in range(len(block))], block)
    started = time.perf_counter()
    [hits] = search(z[:1], read_blocks(path), 12)
    seconds = time.perf_counter() - started
    if hits[0][0] != "0000000.jpg":
        raise RuntimeError(f"the nearest of the first picture is {hits[0]}")
    return {f"search among {count:,}, all compared": (seconds, "s")}


def photo(seed: int, side: tuple[int, int]) -> Image.Image:
    """A picture with the smoothness of a photo, so that decoding takes what it takes for one."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).resize(side, Image.Resampling.BICUBIC)
    noise = rng.normal(0, 6, (side[1], side[0], 3))
    return Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8))


def _write_jpegs(folder: Path, count: int, side: tuple[int, int]) -> None:
    folder.mkdir()
    distinct = [folder / f"{i:06d}.jpg" for i in range(min(DISTINCT, count))]
    for i, path in enumerate(distinct):
        photo(i, side).save(path, quality=88)
    for i in range(len(distinct), count):
        os.link(distinct[i % len(distinct)], folder / f"{i:06d}.jpg")


def _link(folder: Path, files: list[Path], count: int) -> None:
    folder.mkdir()
    for i in range(count):
        os.link(files[i % len(files)], folder / f"{i:06d}.jpg")


def _output(command: list[object]) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[2:]}: {done.stderr[-2000:]}")
    return done.stdout
