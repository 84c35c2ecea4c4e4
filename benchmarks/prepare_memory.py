"""The memory that preparation takes, of 10^4, 10^5 and 10^6 pictures. `python -m benchmarks.prepare_memory`.

Pictures are grey noise of 8 px, drawn into Parquet files. Each preparation is a process of its own, whose memory, with that of
its workers, is read from the system ten times a second: all that is resident (PSS), and what of it no file backs, which is what
a machine must have. Both ways of drawing splits are measured: by the hash of ids with copies dropped, and by content. Sizes that
are not measured again stay in the file of results.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
WAYS = {"hash": ("dataset.splits=official", "dataset.duplicates=drop"), "content": ("dataset.splits=content",)}
TITLES = {"hash": "splits by the hash of ids, copies dropped", "content": "splits by content"}
SIDE, FILE_ROWS, GROUP_ROWS = 8, 100_000, 5_000
EVERY = 0.1
"""Seconds between two readings."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prepare_memory", description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="pictures")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--most-by-content", type=int, default=100_000, help="noise is compared for minutes (100,000)")
    parser.add_argument("--folder", type=Path, help="where pictures and what is prepared of them lie: about 2 kB a picture")
    parser.add_argument("--results", type=Path, default=ROOT / "docs/results/prepare_memory.json")
    parser.add_argument("--image", type=Path, default=ROOT / "docs/images/prepare_memory.png")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        _prepare(Path(args.one), *args.ways)
        return
    kept = json.loads(args.results.read_text())["rows"] if args.results.exists() else []
    rows: list[dict[str, Any]] = []
    for count in sorted(args.counts):
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            draw(Path(folder) / "pictures", count)
            for way in [way for way in args.ways if way == "hash" or count <= args.most_by_content]:
                began = time.perf_counter()
                rows.append({"way": way, "count": count, **measured(Path(folder), way)})
                print(f"{_line(rows[-1])}, {time.perf_counter() - began:.0f} s", flush=True)
    again = {(row["way"], row["count"]) for row in rows}
    rows += [row for row in kept if (row["way"], row["count"]) not in again]
    rows.sort(key=lambda row: (row["way"], row["count"]))
    args.results.write_text(json.dumps({"growth": growth(rows), "rows": rows}, indent=2) + "\n", encoding="utf-8")
    for way, each in growth(rows).items():
        print(f"{TITLES[way]}: {each:.0f} bytes a picture more between the two largest")
    chart(rows, args.image)


def draw(folder: Path, count: int, seed: int = 0) -> None:
    """Write so many pictures, no two alike, into Parquet files in the folder, which is made."""
    folder.mkdir()
    generator = np.random.default_rng(seed)
    for start in range(0, count, FILE_ROWS):
        with pq.ParquetWriter(folder / f"{start // FILE_ROWS:05d}.parquet", pa.schema({"image": pa.binary()})) as writer:
            for at in range(start, min(start + FILE_ROWS, count), GROUP_ROWS):
                here = min(GROUP_ROWS, start + FILE_ROWS - at, count - at)
                pixels = generator.integers(0, 256, (here, SIDE, SIDE), dtype=np.uint8)
                writer.write_table(pa.table({"image": [png(each) for each in pixels]}))


def png(pixels: np.ndarray) -> bytes:
    """A grey picture (H, W) uint8 as the bytes of a PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = pixels.shape
    rows = np.concatenate((np.zeros((height, 1), np.uint8), pixels), axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows, 0)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def measured(folder: Path, way: str, workers: int = 2) -> dict[str, Any]:
    """Peak memory in MB of one preparation of `folder`/pictures."""
    command = [sys.executable, "-m", "benchmarks.prepare_memory", "--one", str(folder), "--ways", way]
    peaks = np.zeros(2)
    with subprocess.Popen(command, cwd=ROOT, env=_environment(workers), stderr=subprocess.DEVNULL) as child:
        while child.poll() is None:
            peaks = np.maximum(peaks, sum(_memory_of(child.pid), np.zeros(2)))
            time.sleep(EVERY)
    if child.returncode:
        raise SystemExit(f"the preparation ended with {child.returncode}")
    return {"resident_mb": round(peaks[0] / 1e6, 1), "anonymous_mb": round(peaks[1] / 1e6, 1)}


def _environment(workers: int) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "SODA_BENCH_WORKERS": str(workers), "OMP_NUM_THREADS": "1"}


def _memory_of(pid: int) -> Iterator[np.ndarray]:
    """(resident, of it anonymous) in bytes of the process and all that it started; pages that are shared are shared out."""
    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in tree:
        try:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except OSError:  # it has just ended
            continue
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in text.splitlines()[1:]}
        yield np.asarray([sizes.get("Pss", 0), sizes.get("Pss_Anon", 0)], float)


def _prepare(folder: Path, way: str) -> None:
    from soda.config import compose, from_dict
    from soda.data.fetch import fetch
    from soda.data.prepare import prepare

    said = [f"dataset.path={folder}/pictures", "dataset=parquet", f"dataset.image_size={SIDE}", "dataset.channels=1"]
    said += ["model=tiny", "model.channel_mult=[1]", f"dataset.workers={os.environ['SODA_BENCH_WORKERS']}"]
    config = from_dict(compose([*said, *WAYS[way]], ROOT / "conf")).dataset
    fetch(config, folder / f"raw-{way}")
    prepare(config, folder / f"raw-{way}", folder / f"prepared-{way}")


def growth(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Bytes of anonymous memory a picture more, by way: the slope between the two largest counts."""
    found = {}
    for way in WAYS:
        *_, small, large = [None, None, *(row for row in rows if row["way"] == way)]
        if small and large:
            found[way] = round(1e6 * (large["anonymous_mb"] - small["anonymous_mb"]) / (large["count"] - small["count"]), 1)
    return found


def _line(row: dict[str, Any]) -> str:
    memory = f"{row['resident_mb']:7.0f} MB at most, {row['anonymous_mb']:7.0f} of them no file's"
    return f"{row['count']:>9,} pictures, {TITLES[row['way']]}: {memory}"


def chart(rows: list[dict[str, Any]], path: Path) -> None:
    """Peak memory over the number of pictures."""
    from soda.viz.style import ACCENT, INK, RULE, WARN
    from soda.viz.style import chart as drawn

    with drawn(path, 5.2, 2.8) as figure:
        axes = figure.add_subplot()
        for way, colour in (("hash", ACCENT), ("content", WARN)):
            here = [row for row in rows if row["way"] == way]
            counts = [row["count"] for row in here]
            axes.plot(counts, [row["anonymous_mb"] for row in here], color=colour, marker="o", markersize=3.5, label=TITLES[way])
        axes.set_xscale("log")
        axes.set_ylim(0, 1.15 * max(row["anonymous_mb"] for row in rows))
        axes.set_xlabel("pictures", color=INK)
        axes.set_ylabel("memory at most, MB", color=INK)
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.legend(frameon=False)


if __name__ == "__main__":
    main()
